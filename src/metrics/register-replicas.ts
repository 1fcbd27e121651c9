/** What a replica knows of the others, as gauges. Called once by `register.ts`. */
import type { Registry } from 'prom-client';
import type { Counts } from './counts.ts';
import { liveGauge } from './prom-metrics.ts';

export function registerReplicas(registry: Registry, counts: Counts): void {
  for (const [name, what, help] of [
    [
      'sallyport_replicas',
      'seen',
      'Replicas that this one has seen alive last, itself among them; none without state.redis.',
    ],
    ['sallyport_replica_policies', 'policies', 'Different policies in force among them; 1: all agree.'],
    [
      'sallyport_replicas_shared',
      'shared',
      'Is what replicas share up to date here (1), or is Redis away (0).',
    ],
  ] as const) {
    liveGauge(registry, {
      name,
      help,
      labels: [],
      merge: 'max',
      rows: () => {
        const count = counts.replicas();
        return count === null ? [] : [{ labels: {}, value: Number(count[what]) }];
      },
    });
  }
}
