/** What `learn` prints: rules as YAML to read and to paste, or all of it as JSON. */
import type { Proposal } from '../config/learn.ts';
import type { LearnedRule, Observation } from '../policy/learn.ts';
import { jsonText, safe } from './terminal-text.ts';

const MAX_LEFT_SHOWN = 20;
const MAX_TEXT = 300;

type Asked = { readonly group: string; readonly since: string };

/** Two observations of the same call. */
export function joined(a: Observation, b: Observation): Observation {
  return {
    ...a,
    calls: a.calls + b.calls,
    first: [a.first, b.first].sort()[0] ?? a.first,
    last: [a.last, b.last].sort()[1] ?? a.last,
  };
}

export function proposalAsJson(
  { group, since }: Asked,
  calls: number,
  { rules, left, before }: Proposal,
): object {
  const shown = rules.map(({ allow, methods, paths, from }) => ({
    rule: { allow, ...(methods === null ? {} : { methods }), ...(paths === null ? {} : { paths }) },
    ...summed(from),
  }));
  return { group, since, calls, before, rules: shown, left: left.map(({ seen, why }) => ({ ...seen, why })) };
}

function summed(from: readonly Observation[]): { calls: number; first: string; last: string } {
  const [one, ...rest] = from;
  if (one === undefined) return { calls: 0, first: '', last: '' };
  const { calls, first, last } = rest.reduce(joined, one);
  return { calls, first, last };
}

/** A YAML text whose comments say what each rule is made of, and what is not proposed. */
export function proposalAsYaml(options: Asked, calls: number, { rules, left, before }: Proposal): string {
  const where =
    before === null ? 'at the end of its rules' : `before "${before.text}" (${before.file}:${before.line})`;
  const head = [
    `# Rules for ${options.group}, from ${calls} calls of the last ${options.since} that enforce mode would refuse.`,
    '# Each one is a question: should these agents do this? Paste what you want',
    `# ${where}, then run: sallyport check && sallyport test`,
  ];
  const shown = left.slice(0, MAX_LEFT_SHOWN).map(({ seen, why }) => {
    const { method, scheme, host, port, path } = seen;
    const what = method === null ? `${host}:${port}` : `${method} ${scheme}://${host}:${port}${path ?? ''}`;
    return `#   ${safe(what, MAX_TEXT)}: ${safe(why, MAX_TEXT)}`;
  });
  const rest =
    left.length > MAX_LEFT_SHOWN ? [`#   and ${left.length - MAX_LEFT_SHOWN} more: --json has all`] : [];
  const tail = shown.length === 0 ? [] : ['# Not proposed:', ...shown, ...rest];
  return `${[...head, ...(rules.length === 0 ? [] : ['rules:']), ...rules.flatMap(ruleLines), ...tail].join('\n')}\n`;
}

function ruleLines({ allow, methods, paths, from }: LearnedRule): readonly string[] {
  const { calls, last } = summed(from);
  const seen = `${calls} ${calls === 1 ? 'call' : 'calls'}, last ${last.slice(0, 16)}Z`;
  return [
    `  - allow: ${allow.startsWith('[') ? jsonText(allow) : allow}    # ${seen}`,
    ...(methods === null ? [] : [`    methods: [${methods.join(', ')}]`]),
    ...(paths === null ? [] : ['    paths:', ...paths.map((path) => `      - ${jsonText(path)}`)]),
  ];
}
