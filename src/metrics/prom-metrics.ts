/**
 * Our own numbers in prom-client's clothes: metric objects that ask for their rows when they are scraped,
 * so that nothing of prom-client runs on a request's way. Names are checked by prom-client's constructors.
 */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { PlainHistogram } from './histogram.ts';

type Labels = Readonly<Record<string, string>>;
export type Row = { readonly labels: Labels; readonly value: number };
export type HistogramRow = { readonly labels: Labels; readonly histogram: PlainHistogram };

type Spec<R> = {
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
  readonly rows: () => Iterable<R>;
  /** how the numbers of several processes become one; default: their sum */
  readonly merge?: 'max' | 'min';
};

export function liveCounter(registry: Registry, spec: Spec<Row>): void {
  const counter = new Counter({
    ...configOf(registry, spec),
    collect() {
      counter.reset();
      for (const row of spec.rows()) counter.inc({ ...row.labels }, row.value);
    },
  });
}

export function liveGauge(registry: Registry, spec: Spec<Row>): void {
  const gauge = new Gauge({
    ...configOf(registry, spec),
    collect() {
      gauge.reset();
      // Without labels prom-client makes a row of its own, at zero: what is not known is not there.
      if (spec.labels.length === 0) gauge.remove();
      for (const row of spec.rows()) gauge.set({ ...row.labels }, row.value);
    },
  });
}

export function liveHistogram(registry: Registry, spec: Spec<HistogramRow>): void {
  registry.registerMetric(new ReadyHistogram(spec));
}

function configOf(registry: Registry, { name, help, labels, merge }: Spec<Row>) {
  return {
    name,
    help,
    labelNames: [...labels],
    aggregator: merge ?? ('sum' as const),
    registers: [registry],
  };
}

type HistogramValue = {
  readonly labels: Labels;
  /** of prom-client's own; `get` falls over where it is missing */
  readonly sharedLabels: Labels;
  readonly value: number;
  readonly metricName: string;
};

const NONE: Labels = {};

/** prom-client reads `getForPromString` when it renders text, and through `get` when it gives JSON. */
class ReadyHistogram extends Histogram {
  readonly #spec: Spec<HistogramRow>;

  constructor(spec: Spec<HistogramRow>) {
    super({ name: spec.name, help: spec.help, labelNames: [...spec.labels], registers: [] });
    this.#spec = spec;
  }

  getForPromString(): Promise<object> {
    const { name, help, rows } = this.#spec;
    const values = [...rows()].flatMap((row) => histogramValues(name, row));
    return Promise.resolve({ name, help, type: 'histogram', aggregator: 'sum', values });
  }
}

function histogramValues(name: string, { labels, histogram }: HistogramRow): HistogramValue[] {
  const values: HistogramValue[] = [];
  let total = 0;
  for (const [index, count] of histogram.counts.entries()) {
    total += count;
    const le = String(histogram.bounds[index] ?? '+Inf');
    values.push({
      labels: { le, ...labels },
      sharedLabels: NONE,
      value: total,
      metricName: `${name}_bucket`,
    });
  }
  values.push({ labels, sharedLabels: NONE, value: histogram.sum, metricName: `${name}_sum` });
  values.push({ labels, sharedLabels: NONE, value: total, metricName: `${name}_count` });
  return values;
}
