/** What a PromQL expression names: enough of its grammar for our own rules and panels, not a parser of all of it. */

export type Uses = {
  /** metric to the labels that its selectors name */
  readonly metrics: ReadonlyMap<string, ReadonlySet<string>>;
  /** labels of `by`, `on` and the like */
  readonly grouping: ReadonlySet<string>;
};

const GROUPING = /\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)/g;
const WORDS: ReadonlySet<string> = new Set([
  'and',
  'or',
  'unless',
  'bool',
  'offset',
  'group_left',
  'group_right',
]);

export function usesOf(expr: string): Uses {
  const grouping = new Set<string>();
  const plain = expr
    .replaceAll(/"(?:[^"\\]|\\.)*"/g, '""')
    .replaceAll(/\[[^\]]*\]/g, '')
    .replaceAll(/\boffset\s+\w+/g, '')
    .replaceAll(GROUPING, (_all, list: string) => {
      for (const label of list.split(',')) if (label.trim() !== '') grouping.add(label.trim());
      return '';
    });
  const metrics = new Map<string, Set<string>>();
  for (const [, name = '', inside, call] of plain.matchAll(
    /(?<![\w:.])([a-zA-Z_:][\w:]*)\s*(?:\{([^}]*)\}|(\())?/g,
  )) {
    if (call !== undefined || WORDS.has(name)) continue;
    const labels = metrics.get(name) ?? new Set<string>();
    for (const [, label = ''] of (inside ?? '').matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)) labels.add(label);
    metrics.set(name, labels);
  }
  return { metrics, grouping };
}

/** The labels of each metric in a scrape. A histogram's three names are three metrics. */
export function labelsIn(scrape: string): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  for (const [, name = '', inside = ''] of scrape.matchAll(/^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? \S+$/gm)) {
    const labels = found.get(name) ?? new Set<string>();
    for (const [, label = ''] of inside.matchAll(/(\w+)="(?:[^"\\]|\\.)*"/g)) labels.add(label);
    found.set(name, labels);
  }
  return found;
}

/** What an expression names that a scrape does not have. `known`: metrics with their labels. */
export function strangers(expr: string, known: ReadonlyMap<string, ReadonlySet<string>>): string[] {
  const { metrics, grouping } = usesOf(expr);
  const all = new Set(TARGET);
  const wrong: string[] = [];
  for (const [name, used] of metrics) {
    const labels = known.get(name);
    if (labels === undefined) {
      wrong.push(name);
      continue;
    }
    for (const label of labels) all.add(label);
    for (const label of used) if (!labels.has(label) && !TARGET.has(label)) wrong.push(`${name}{${label}}`);
  }
  for (const label of grouping) if (!all.has(label)) wrong.push(`by (${label})`);
  return wrong;
}

/** Labels that Prometheus itself gives to what it scrapes. */
const TARGET: ReadonlySet<string> = new Set(['job', 'instance']);
