/**
 * OpenTelemetry out of the audit trail: each record as a log record, each end as a span, sent by OTLP over HTTP to where
 * the environment says (`wanted.ts`). Loaded only where something is wanted. The collector is the operator's: no policy
 * judges it, and no sandbox can reach it through us.
 */
import { randomBytes } from 'node:crypto';
import {
  type Logger,
  ROOT_CONTEXT,
  type Sampler,
  SamplingDecision,
  SeverityNumber,
  SpanKind,
  trace,
} from '@opentelemetry/api';
import { OTLPLogExporter } from '@opentelemetry/exporter-logs-otlp-http';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import {
  defaultResource,
  detectResources,
  envDetector,
  type Resource,
  resourceFromAttributes,
  serviceNameEnvDetector,
} from '@opentelemetry/resources';
import { BatchLogRecordProcessor, LoggerProvider, type ReadableLogRecord } from '@opentelemetry/sdk-logs';
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  type ReadableSpan,
  TraceIdRatioBasedSampler,
} from '@opentelemetry/sdk-trace';
import type { AuditEvent, EndEvent } from '../audit/event.ts';
import { endAttributes, flowAttributes, operatorAttributes } from './attributes.ts';
import { CountedExporter, MAX_WAITING, type Outcome } from './counted-exporter.ts';
import { type SpanIds, spanIds, spanOf } from './spans.ts';
import type { Sampling, Wanted } from './wanted.ts';

export type Signal = 'traces' | 'logs';

export type Telemetry = {
  /** One event of the trail; never throws, never waits. */
  observe(event: AuditEvent): void;
  /** Sends what waits, for STOP_MS at most. Never rejects. */
  stop(): Promise<void>;
};

type About = {
  readonly version: string;
  /** milliseconds since the epoch */
  readonly now: () => number;
  readonly count: (signal: Signal, outcome: Outcome, items: number) => void;
};

/** How long the last batch may take. */
const STOP_MS = 3000;
const MAX_BATCH = 512;
const EXPORT_MS = 10_000;

export function createTelemetry(wanted: Wanted, about: About): Telemetry {
  const resource = defaultResource()
    .merge(resourceFromAttributes({ 'service.name': 'sallyport', 'service.version': about.version }))
    .merge(detectResources({ detectors: [envDetector, serviceNameEnvDetector] }));
  const salt = randomBytes(16);
  const spans = wanted.traces ? spanSink(wanted, resource, about) : null;
  const logs = wanted.logs ? logSink(wanted, resource, about) : null;
  return {
    observe: (event) => {
      const ids = event.kind === 'operator' ? null : spanIds(event, salt);
      logs?.add(event, ids);
      if (event.kind === 'end' && ids !== null) spans?.add(event, ids);
    },
    stop: () =>
      within(
        STOP_MS,
        [spans, logs].flatMap((sink) => (sink === null ? [] : [sink.stop()])),
      ),
  };
}

function spanSink(wanted: Wanted, resource: Resource, { version, now, count }: About) {
  const exporter = new CountedExporter<ReadableSpan>(new OTLPTraceExporter(), (...of) =>
    count('traces', ...of),
  );
  const processor = new BatchSpanProcessor({ exporter, ...batching(wanted.delayMs.traces) });
  const sampler = samplerOf(wanted.sampling);
  return {
    add: (event: EndEvent, ids: SpanIds): void => {
      const { own, parent } = ids;
      const within = parent?.isRemote === true ? trace.setSpanContext(ROOT_CONTEXT, parent) : ROOT_CONTEXT;
      const { decision } = sampler.shouldSample(
        within,
        own.traceId,
        event.method ?? '',
        SpanKind.SERVER,
        {},
        [],
      );
      if (decision !== SamplingDecision.RECORD_AND_SAMPLED || !exporter.admit()) return;
      processor.onEnd(spanOf(event, ids, { endedAt: now(), resource, version }));
    },
    stop: () => processor.shutdown(),
  };
}

function logSink(wanted: Wanted, resource: Resource, { version, now, count }: About) {
  const exporter = new CountedExporter<ReadableLogRecord>(new OTLPLogExporter(), (...of) =>
    count('logs', ...of),
  );
  const processor = new BatchLogRecordProcessor({ exporter, ...batching(wanted.delayMs.logs) });
  const provider = new LoggerProvider({ resource, processors: [processor] });
  const logger = provider.getLogger('sallyport', version);
  return {
    add: (event: AuditEvent, ids: SpanIds | null): void => {
      if (exporter.admit()) emit(logger, event, { ids, at: now() });
    },
    stop: () => provider.shutdown(),
  };
}

function emit(logger: Logger, event: AuditEvent, { ids, at }: { ids: SpanIds | null; at: number }): void {
  const refused = event.kind !== 'operator' && event.reason !== null;
  logger.emit({
    eventName: `sallyport.${event.kind}`,
    timestamp: event.kind === 'operator' ? event.actedAt : at,
    severityNumber: refused ? SeverityNumber.WARN : SeverityNumber.INFO,
    severityText: refused ? 'WARN' : 'INFO',
    body: summary(event),
    attributes:
      event.kind === 'operator'
        ? operatorAttributes(event)
        : { ...flowAttributes(event), ...(event.kind === 'end' ? endAttributes(event) : {}) },
    ...(ids === null ? {} : { context: trace.setSpanContext(ROOT_CONTEXT, ids.own) }),
  });
}

/** For people who look at lines; everything is in the attributes. */
function summary(event: AuditEvent): string {
  if (event.kind === 'operator') return `${event.action} by ${event.operator}: ${event.outcome}`;
  const at = event.host === null ? '' : ` ${event.host}:${event.port ?? ''}`;
  const how = event.kind === 'end' ? event.ended : event.verdict;
  return `${event.kind} ${event.method ?? 'CONNECT'}${at} ${how}${event.reason === null ? '' : ` ${event.reason}`}`;
}

function samplerOf({ name, parentBased, ratio }: Sampling): Sampler {
  const own = {
    always_on: () => new AlwaysOnSampler(),
    always_off: () => new AlwaysOffSampler(),
    traceidratio: () => new TraceIdRatioBasedSampler(ratio),
  }[name]();
  return parentBased ? new ParentBasedSampler({ root: own }) : own;
}

function batching(delayMs: number) {
  return {
    maxQueueSize: MAX_WAITING,
    maxExportBatchSize: MAX_BATCH,
    scheduledDelayMillis: delayMs,
    exportTimeoutMillis: EXPORT_MS,
  };
}

async function within(ms: number, work: readonly Promise<void>[]): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  await Promise.race([Promise.allSettled(work), promise]);
  clearTimeout(timer);
}
