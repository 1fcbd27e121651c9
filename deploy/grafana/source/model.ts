/**
 * What a dashboard is before it is Grafana's JSON: panels in rows, each with its queries. `grafana.ts` writes it out,
 * `../render.ts` draws it, the tests ask every query of a real Prometheus.
 */

export type Query = {
  /** PromQL; `$group` and the like are filled in by Grafana */
  readonly expr: string;
  /** `{{label}}` is the label's value */
  readonly legend: string;
};

/** Units of Grafana that we use, and `count`: its `short` without decimals. */
export type Unit =
  | 'count'
  | 'short'
  | 'percentunit'
  | 's'
  | 'bytes'
  | 'Bps'
  | 'reqps'
  | 'cpm'
  | 'dateTimeFromNow'
  | 'bool_yes_no';

export type Color = 'green' | 'yellow' | 'red' | 'blue' | 'text';

/** From which value on a colour holds; the first has none. */
export type Step = { readonly from: number | null; readonly color: Color };

type Common = {
  readonly title: string;
  /** what it shows and what to make of it; every panel has one */
  readonly description: string;
  readonly unit: Unit;
  /** of 24 columns */
  readonly width: number;
  /** labels of what was clicked on that the audit search is asked for */
  readonly audit?: readonly string[];
};

export type Stat = Common & { readonly kind: 'stat'; readonly query: Query; readonly steps: readonly Step[] };
export type Series = Common & {
  readonly kind: 'series';
  readonly queries: readonly Query[];
  readonly stacked: boolean;
};
export type Table = Common & {
  readonly kind: 'table';
  readonly query: Query;
  /** labels, in order; the value comes last */
  readonly columns: readonly string[];
  /** heading of the value */
  readonly value: string;
  readonly steps: readonly Step[];
};
export type Timeline = Common & {
  readonly kind: 'timeline';
  readonly query: Query;
  /** what 0 and 1 are called */
  readonly states: readonly [string, string];
};
export type Panel = Stat | Series | Table | Timeline;

export type Variable =
  | { readonly kind: 'label'; readonly name: string; readonly title: string; readonly values: string }
  | { readonly kind: 'text'; readonly name: string; readonly title: string; readonly value: string };

export type Row = { readonly title: string; readonly height: number; readonly panels: readonly Panel[] };

export type Dashboard = {
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  readonly variables: readonly Variable[];
  readonly rows: readonly Row[];
};
