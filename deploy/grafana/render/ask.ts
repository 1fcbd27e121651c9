/** Questions to Prometheus: what a panel shows, as numbers. */
import { fill, type Times } from '../source/fill.ts';
import type { Query } from '../source/model.ts';

type Labels = Readonly<Record<string, string>>;
export type Point = { readonly at: number; readonly value: number };
export type Line = { readonly name: string; readonly labels: Labels; readonly points: readonly Point[] };

/** `now`: seconds since the epoch. */
export type Source = { readonly url: string; readonly times: Times; readonly now: number };

const LIMIT_MS = 30_000;

/** One point per series: the value now. Throws what Prometheus says is wrong. */
export async function askNow(source: Source, query: Query): Promise<Line[]> {
  return ask(source, query, 'query', { time: `${source.now}` });
}

/** The series over the chosen time. */
export async function askOver(source: Source, query: Query): Promise<Line[]> {
  const { now, times } = source;
  const span = { start: `${now - times.range}`, end: `${now}`, step: `${times.step}` };
  return ask(source, query, 'query_range', span);
}

async function ask(
  { url, times }: Source,
  { expr, legend }: Query,
  what: string,
  more: Record<string, string>,
): Promise<Line[]> {
  const response = await fetch(`${url}/api/v1/${what}`, {
    method: 'POST',
    body: new URLSearchParams({ query: fill(expr, times), ...more }),
    signal: AbortSignal.timeout(LIMIT_MS),
  });
  const answer: unknown = await response.json();
  const result = field(field(answer, 'data'), 'result');
  if (!Array.isArray(result)) throw new Error(`${expr}: ${String(field(answer, 'error'))}`);
  return result.map((one: unknown) => {
    const labels = labelsOf(field(one, 'metric'));
    const values = field(one, 'values');
    const pairs: unknown[] = Array.isArray(values) ? values : [field(one, 'value')];
    return { name: legendOf(legend, labels), labels, points: pairs.flatMap(pointOf) };
  });
}

function field(of: unknown, name: string): unknown {
  return typeof of === 'object' && of !== null ? Reflect.get(of, name) : undefined;
}

function labelsOf(metric: unknown): Labels {
  if (typeof metric !== 'object' || metric === null) return {};
  return Object.fromEntries(Object.entries(metric).map(([name, value]) => [name, String(value)]));
}

/** What has no value at that time (0/0) is no point. */
function pointOf(pair: unknown): Point[] {
  if (!Array.isArray(pair)) return [];
  const [at, value] = pair.map(Number);
  return at === undefined || value === undefined || !Number.isFinite(value) ? [] : [{ at, value }];
}

function legendOf(legend: string, labels: Labels): string {
  return legend.replaceAll(/\{\{(\w+)\}\}/g, (_all, name: string) => labels[name] ?? '');
}
