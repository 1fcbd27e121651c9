/**
 * What of OpenTelemetry the environment asks for, by the variables of its specification ("General SDK" and "OTLP
 * Exporter" configuration). Nothing is exported unless an endpoint is named: the specification's default endpoint would
 * have every installation dial localhost. Endpoint, headers, timeout, certificates: the exporters read those themselves.
 */

type Environment = Readonly<Record<string, string | undefined>>;

export type Sampling = {
  readonly name: 'always_on' | 'always_off' | 'traceidratio';
  /** a client's own decision goes before ours */
  readonly parentBased: boolean;
  /** 0 to 1 */
  readonly ratio: number;
};

export type Wanted = {
  readonly traces: boolean;
  readonly logs: boolean;
  readonly sampling: Sampling;
  /** milliseconds that a batch may wait for more */
  readonly delayMs: { readonly traces: number; readonly logs: number };
};

/** The environment asks for what cannot be given. The message says which variable and what would do. */
export class TelemetryError extends Error {
  override readonly name = 'TelemetryError';
}

const SAMPLER = /^(parentbased_)?(always_on|always_off|traceidratio)$/;
const MAX_DELAY_MS = 60_000;

/** Null: nothing is asked for. Throws TelemetryError on a value that is not known, rather than to export otherwise. */
export function telemetryWanted(env: Environment): Wanted | null {
  if (env['OTEL_SDK_DISABLED']?.toLowerCase() === 'true') return null;
  const traces = asksFor(env, 'TRACES');
  const logs = asksFor(env, 'LOGS');
  if (!traces && !logs) return null;
  for (const name of [
    'OTEL_EXPORTER_OTLP_PROTOCOL',
    'OTEL_EXPORTER_OTLP_TRACES_PROTOCOL',
    'OTEL_EXPORTER_OTLP_LOGS_PROTOCOL',
  ])
    checkProtocol(env, name);
  return {
    traces,
    logs,
    sampling: samplingOf(env),
    delayMs: {
      traces: millis(env, 'OTEL_BSP_SCHEDULE_DELAY', 5000),
      logs: millis(env, 'OTEL_BLRP_SCHEDULE_DELAY', 1000),
    },
  };
}

function asksFor(env: Environment, signal: 'TRACES' | 'LOGS'): boolean {
  const name = `OTEL_${signal}_EXPORTER`;
  const exporter = env[name] || 'otlp';
  if (exporter === 'none') return false;
  if (exporter !== 'otlp') throw new TelemetryError(`${name}=${exporter}: otlp and none are known`);
  return Boolean(env['OTEL_EXPORTER_OTLP_ENDPOINT'] || env[`OTEL_EXPORTER_OTLP_${signal}_ENDPOINT`]);
}

/** Collectors take JSON and protobuf on the same HTTP port; gRPC has another one, so that a mix-up would be silent. */
function checkProtocol(env: Environment, name: string): void {
  const protocol = env[name] || 'http/json';
  if (protocol.startsWith('http/')) return;
  throw new TelemetryError(
    `${name}=${protocol}: OTLP goes over HTTP here; write http/json and the port of it (4318)`,
  );
}

function samplingOf(env: Environment): Sampling {
  const text = env['OTEL_TRACES_SAMPLER'] || 'parentbased_always_on';
  const [, parent, name] = SAMPLER.exec(text) ?? [];
  if (name !== 'always_on' && name !== 'always_off' && name !== 'traceidratio') {
    throw new TelemetryError(
      `OTEL_TRACES_SAMPLER=${text}: always_on, always_off, traceidratio, and these behind parentbased_ are known`,
    );
  }
  const ratio = Number(env['OTEL_TRACES_SAMPLER_ARG'] || '1');
  if (name === 'traceidratio' && !(ratio >= 0 && ratio <= 1)) {
    throw new TelemetryError(
      `OTEL_TRACES_SAMPLER_ARG=${env['OTEL_TRACES_SAMPLER_ARG']}: a number from 0 to 1`,
    );
  }
  return { name, parentBased: parent !== undefined, ratio };
}

function millis(env: Environment, name: string, standard: number): number {
  const value = Number(env[name] || standard);
  if (Number.isSafeInteger(value) && value > 0 && value <= MAX_DELAY_MS) return value;
  throw new TelemetryError(`${name}=${env[name]}: milliseconds, from 1 to ${MAX_DELAY_MS}`);
}
