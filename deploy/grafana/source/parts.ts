/** What the dashboards share: their variables, filters that follow them, and the counting of refusals. */
import type { Panel, Query, Series, Stat, Step, Table, Variable } from './model.ts';

export const INSTANCE: Variable = {
  kind: 'label',
  name: 'instance',
  title: 'Proxy',
  values: 'label_values(sallyport_build_info, instance)',
};
export const GROUP: Variable = {
  kind: 'label',
  name: 'group',
  title: 'Group',
  values: 'label_values(sallyport_policy_info{instance=~"$instance"}, group)',
};
/** Where the console is: the base of every link to the audit search. */
export const CONSOLE: Variable = {
  kind: 'text',
  name: 'console',
  title: 'Console at',
  value: 'http://127.0.0.1:9090',
};

/** `metric` of the chosen proxies and groups. */
export function ofGroups(metric: string, more = ''): string {
  return `${metric}{instance=~"$instance",group=~"$group"${more === '' ? '' : `,${more}`}}`;
}

/** `metric` of the chosen proxies. */
export function ofProxies(metric: string, more = ''): string {
  return `${metric}{instance=~"$instance"${more === '' ? '' : `,${more}`}}`;
}

/** Events per second, summed by labels. */
export function rate(selector: string, by: string): string {
  const expr = `sum by (${by}) (rate(${selector}[$__rate_interval]))`;
  return /\bgroup\b/.test(by) ? named(expr) : expr;
}

/** Events in the chosen time. Of series that all begin at zero, or for long. */
export function total(selector: string): string {
  return `sum(increase(${selector}[$__range]))`;
}

/** Events in the chosen time by labels: a series that is new in it counts from zero. */
export function totalBy(selector: string, by: string): string {
  const counted = `(${selector} unless ${selector} offset $__range) or increase(${selector}[$__range])`;
  return `sum by (${by}) (${counted}) > 0.5`;
}

/**
 * Decisions per minute. A host is a series of its own, and `increase()` does not see a series' first sample: summed
 * first, counted after.
 */
export function perMinute(selector: string, by: string): string {
  const summed = `sum by (instance, ${by}) (${selector})`;
  const expr = `60 * sum by (${by}) (rate((${summed})[$__rate_interval:15s]))`;
  return /\bgroup\b/.test(by) ? named(expr) : expr;
}

/** Decisions in the chosen time, in all. */
export function decided(selector: string): string {
  return `sum(increase((sum by (instance, group) (${selector}))[$__range:15s]))`;
}

/** Decisions in the chosen time by host. */
export function decidedByHost(selector: string): string {
  return named(`topk(100, ${totalBy(selector, 'group, host, reason')})`);
}

/** Clients that nobody knows have no group: they are called `nobody`. */
export function named(expr: string): string {
  return `label_replace(${expr}, "group", "nobody", "group", "")`;
}

export const NEUTRAL: readonly Step[] = [{ from: null, color: 'text' }];
/** Good at zero. */
export const NONE_IS_GOOD: readonly Step[] = [
  { from: null, color: 'green' },
  { from: 1, color: 'red' },
];

type About = Pick<Panel, 'title' | 'description' | 'unit' | 'width'> & { readonly audit?: readonly string[] };

export function stat(about: About & { expr: string; steps?: readonly Step[] }): Stat {
  const { expr, steps = NEUTRAL, ...common } = about;
  return { kind: 'stat', ...common, query: { expr, legend: '' }, steps };
}

export function series(about: About & { queries: readonly Query[]; stacked?: boolean }): Series {
  return { kind: 'series', stacked: false, ...about };
}

export function table(
  about: About & { expr: string; columns: readonly string[]; value: string; steps?: readonly Step[] },
): Table {
  const { expr, steps = NEUTRAL, ...common } = about;
  return { kind: 'table', ...common, query: { expr, legend: '' }, steps };
}
