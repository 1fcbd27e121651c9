/**
 * Rules out of what monitor mode let through: the narrowest that reproduce it. Where requests were read, by method
 * and path; where only the connection was seen, by host and port. Pure; `config/learn.ts` tries them, the `learn`
 * command reads the record and prints.
 */
import { pathPatterns, plainPath } from './learn-paths.ts';

/** Calls that differ in nothing that a rule judges. */
export type Observation = {
  readonly host: string;
  readonly port: number;
  /** null: only the connection was seen */
  readonly method: string | null;
  /** as recorded; null: only the connection was seen */
  readonly path: string | null;
  readonly scheme: 'https' | 'http';
  readonly calls: number;
  /** ISO 8601 */
  readonly first: string;
  readonly last: string;
};

export type LearnedRule = {
  /** a host pattern with its port */
  readonly allow: string;
  /** null: connections, whatever is said on them */
  readonly methods: readonly string[] | null;
  readonly paths: readonly string[] | null;
  readonly from: readonly Observation[];
};

export type Left = { readonly seen: Observation; readonly why: string };

/** `distinct`: how many different segments at one place of a path become `*`. */
export function learnRules(
  seen: readonly Observation[],
  distinct: number,
): { readonly rules: readonly LearnedRule[]; readonly left: readonly Left[] } {
  const left: Left[] = [];
  const hosts = new Map<string, Observation[]>();
  for (const one of seen) {
    const why = hindrance(one);
    if (why !== null) left.push({ seen: one, why });
    else hosts.set(patternOf(one), [...(hosts.get(patternOf(one)) ?? []), one]);
  }
  const names = [...hosts.keys()].sort();
  return { rules: names.flatMap((allow) => rulesOf(allow, hosts.get(allow) ?? [], distinct)), left };
}

function hindrance({ path }: Observation): string | null {
  if (path === null || plainPath(path) !== null) return null;
  return path.includes('…') ? 'the record does not keep its whole path' : 'its path can be read in two ways';
}

/** With its port: without one a pattern would open plain HTTP beside HTTPS. */
function patternOf({ host, port }: Observation): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

function rulesOf(allow: string, from: readonly Observation[], distinct: number): readonly LearnedRule[] {
  // What passes unread cannot be had by method and path.
  if (from.some(({ method }) => method === null)) return [{ allow, methods: null, paths: null, from }];
  const byMethod = Map.groupBy(from, ({ method }) => method ?? '');
  const byPaths = new Map<string, { methods: string[]; paths: readonly string[]; from: Observation[] }>();
  for (const [method, some] of byMethod) {
    const paths = pathPatterns([...new Set(some.map(({ path }) => plainPath(path ?? '') ?? ''))], distinct);
    const same = byPaths.get(paths.join('\n')) ?? { methods: [], paths, from: [] };
    same.methods.push(method);
    same.from.push(...some);
    byPaths.set(paths.join('\n'), same);
  }
  const rules = [...byPaths.values()].map((one) => ({ ...one, methods: one.methods.sort(), allow }));
  return rules.sort((a, b) => a.methods.join().localeCompare(b.methods.join(), 'en'));
}
