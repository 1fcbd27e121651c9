import { expect, it } from 'vitest';
import { type MetricsJson, mergeMetrics } from '../../../src/metrics/merge.ts';
import { createMetrics } from '../../../src/metrics/metrics.ts';

/** What a worker counts, with every value of one metric replaced. */
async function workerWith(name: string, value: number): Promise<MetricsJson> {
  const metrics = createMetrics({ version: '0' });
  metrics.authority(() => ({ notAfter: 9_000, stage: null }));
  metrics.policyReload('ok');
  metrics.secretAges(() => [{ key: 'vault:k', seconds: 1, available: true }]);
  const list = await metrics.json();
  return list.map((one) =>
    one.name === name ? { ...one, values: one.values.map((row) => ({ ...row, value })) } : one,
  );
}

it.each([
  ['nodejs_eventloop_lag_p99_seconds', '', 0.01, 0.9, 0.9],
  ['process_start_time_seconds', '', 100, 200, 200],
  ['sallyport_policy_last_reload_successful', '', 1, 0, 0],
  ['sallyport_secret_available', '{key="vault:k"}', 1, 0, 0],
  ['sallyport_ca_not_after_timestamp_seconds', '', 9, 8, 8],
])(
  'of several workers %s is the worst one, not a mean or a sum',
  async (name, labels, one, other, merged) => {
    const text = await mergeMetrics([await workerWith(name, one), await workerWith(name, other)]);
    expect(text.split('\n')).toContain(`${name}${labels} ${merged}`);
  },
);
