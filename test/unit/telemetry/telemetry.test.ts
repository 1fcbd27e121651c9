/** What is wanted of telemetry, whose trace a request is part of, and what waits for a collector. */
import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { parseTraceParent } from '../../../src/flow/trace.ts';
import { CountedExporter, MAX_WAITING } from '../../../src/telemetry/counted-exporter.ts';
import { spanIds } from '../../../src/telemetry/spans.ts';
import { telemetryWanted } from '../../../src/telemetry/wanted.ts';

const AT = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318' };

describe('the environment', () => {
  it.each([
    ['nothing', {}],
    ['a service name alone', { OTEL_SERVICE_NAME: 'x' }],
    ['OTEL_SDK_DISABLED', { ...AT, OTEL_SDK_DISABLED: 'TRUE' }],
    ['no exporter', { ...AT, OTEL_TRACES_EXPORTER: 'none', OTEL_LOGS_EXPORTER: 'none' }],
  ])('asks for nothing by %s', (_name, env) => {
    expect(telemetryWanted(env)).toBeNull();
  });

  it('asks for one signal by its own endpoint', () => {
    const env = { OTEL_EXPORTER_OTLP_LOGS_ENDPOINT: 'http://127.0.0.1:4318/v1/logs' };
    expect(telemetryWanted(env)).toMatchObject({ traces: false, logs: true });
  });

  it.each([
    [undefined, undefined, { name: 'always_on', parentBased: true, ratio: 1 }],
    ['parentbased_traceidratio', '0.25', { name: 'traceidratio', parentBased: true, ratio: 0.25 }],
    ['always_off', undefined, { name: 'always_off', parentBased: false, ratio: 1 }],
  ])('names a sampler: %s %s', (OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG, sampling) => {
    expect(telemetryWanted({ ...AT, OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG })).toMatchObject({
      sampling,
    });
  });

  it.each([
    { OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: '2' },
    { OTEL_BSP_SCHEDULE_DELAY: '-1' },
    { OTEL_BLRP_SCHEDULE_DELAY: 'soon' },
  ])('is refused with %j, by the name of the variable', (wrong) => {
    expect(() => telemetryWanted({ ...AT, ...wrong })).toThrow(Object.keys(wrong).at(-1));
  });
});

describe('the trace of a client', () => {
  const trace = '0af7651916cd43dd8448eb211c80319c';
  const span = 'b7ad6b7169203331';

  it('is read from version 00 of traceparent', () => {
    expect(parseTraceParent(`00-${trace}-${span}-03`)).toEqual({
      traceId: trace,
      spanId: span,
      sampled: true,
    });
    expect(parseTraceParent(`00-${trace}-${span}-02`)).toMatchObject({ sampled: false });
  });

  it.each([
    '',
    `01-${trace}-${span}-01`,
    `00-${trace.toUpperCase()}-${span}-01`,
    `00-${'0'.repeat(32)}-${span}-01`,
    `00-${trace}-${'0'.repeat(16)}-01`,
    `00-${trace}-${span}-01-more`,
    `00-${trace}-${span}`,
  ])('is not made of %j', (text) => {
    expect(parseTraceParent(text)).toBeNull();
  });
});

describe('the spans of a connection', () => {
  const salt = randomBytes(16);

  it('are one trace, requests below the connection', () => {
    const connection = spanIds({ flow: 'f', requestId: 'c', stage: 'connect' }, salt);
    const request = spanIds({ flow: 'f', requestId: 'r', stage: 'request' }, salt);
    expect(request.own.traceId).toBe(connection.own.traceId);
    expect(request.parent).toEqual(connection.own);
    expect(spanIds({ flow: 'f', requestId: 'r', stage: 'request' }, randomBytes(16)).own).not.toEqual(
      request.own,
    );
  });

  it('are below the span of a client that names one, and linked to the connection', () => {
    const trace = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), sampled: false };
    const { own, parent, connection } = spanIds({ flow: 'f', requestId: 'r', stage: 'request', trace }, salt);
    expect(own.traceId).toBe(trace.traceId);
    expect(parent).toMatchObject({ spanId: trace.spanId, traceFlags: 0, isRemote: true });
    expect(connection?.traceId).not.toBe(trace.traceId);
  });
});

describe('what waits for a collector', () => {
  it('is bounded: what finds no room is counted, and room comes back', () => {
    const counted: Record<string, number> = {};
    const done: ((result: { code: number }) => void)[] = [];
    const exporter = new CountedExporter<number>(
      { export: (_items, finish) => void done.push(finish), shutdown: () => Promise.resolve() },
      (outcome, items) => {
        counted[outcome] = (counted[outcome] ?? 0) + items;
      },
    );
    for (let n = 0; n < MAX_WAITING; n += 1) expect(exporter.admit()).toBe(true);
    expect(exporter.admit()).toBe(false);
    exporter.export([1, 2, 3], () => {});
    exporter.export([4], () => {});
    done[0]?.({ code: 0 });
    done[1]?.({ code: 1 });
    done[1]?.({ code: 0 });
    expect(counted).toEqual({ dropped: 1, ok: 3, failed: 1 });
    expect(Array.from({ length: 5 }, () => exporter.admit())).toEqual([true, true, true, true, false]);
  });

  it('is counted as not taken when the exporter throws', () => {
    const counted: string[] = [];
    const exporter = new CountedExporter<number>(
      {
        export: () => {
          throw new Error('no');
        },
        shutdown: () => Promise.resolve(),
      },
      (outcome) => counted.push(outcome),
    );
    exporter.export([1], ({ code }) => counted.push(String(code)));
    expect(counted).toEqual(['failed', '1']);
  });
});
