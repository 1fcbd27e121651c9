/** Telemetry as `start` and its workers open it: only what is wanted is loaded. */
import type { AuditEvent } from '../audit/event.ts';
import type { Metrics } from '../metrics/metrics.ts';
import type { Telemetry } from './otlp.ts';
import { telemetryWanted } from './wanted.ts';

export type Opened = {
  /** the trace of a client is looked for */
  readonly traced: boolean;
  /** Begins to export; `metrics` counts what becomes of it. Returns what is to be told of every record. */
  begin(metrics: Pick<Metrics, 'telemetry'>): (event: AuditEvent) => void;
  /** Sends what waits, within seconds. Never rejects. */
  stop(): Promise<void>;
};

/** Null: the environment asks for nothing. Throws TelemetryError (`wanted.ts`). */
export async function openTelemetry(
  env: Readonly<Record<string, string | undefined>>,
  of: { readonly version: string; readonly now: () => number },
): Promise<Opened | null> {
  const wanted = telemetryWanted(env);
  if (wanted === null) return null;
  // The exporters read the process's own environment; a worker has been told the rest of its by the channel.
  for (const [name, value] of Object.entries(env)) {
    if (name.startsWith('OTEL_') && value !== undefined) process.env[name] ??= value;
  }
  // A hundred files that nobody else needs.
  const { createTelemetry } = await import('./otlp.ts');
  let begun: Telemetry | null = null;
  return {
    traced: wanted.traces,
    begin: (metrics) => {
      const telemetry = createTelemetry(wanted, {
        ...of,
        count: (...counted) => metrics.telemetry(...counted),
      });
      begun = telemetry;
      return (event) => telemetry.observe(event);
    },
    stop: async () => begun?.stop(),
  };
}
