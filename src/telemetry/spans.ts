/**
 * Spans out of end records: what was traced cannot differ from what was recorded. A request is a child of its client's
 * span where the client names one (`traceparent`), else of the connection that it came by; its trace is the client's,
 * else one per connection.
 */
import { createHash } from 'node:crypto';
import { type HrTime, type SpanContext, SpanKind, SpanStatusCode, TraceFlags } from '@opentelemetry/api';
import type { Resource } from '@opentelemetry/resources';
import type { ReadableSpan } from '@opentelemetry/sdk-trace';
import type { EndEvent } from '../audit/event.ts';
import type { TraceParent } from '../flow/trace.ts';
import { endAttributes, flowAttributes } from './attributes.ts';

export type SpanIds = {
  readonly own: SpanContext;
  /** null: the root of its trace */
  readonly parent: SpanContext | null;
  /** the connection, where the client's span is the parent */
  readonly connection: SpanContext | null;
};

/** Ids that nobody outside can know beforehand: made of the flow's with `salt`, random bytes of this process. */
export function spanIds(
  event: Pick<EndEvent, 'flow' | 'requestId' | 'stage' | 'trace'>,
  salt: Buffer,
): SpanIds {
  const connection = context(digest(salt, `trace ${event.flow}`, 32), digest(salt, `span ${event.flow}`, 16));
  if (event.stage === 'connect') return { own: connection, parent: null, connection: null };
  const spanId = digest(salt, `span ${event.requestId}`, 16);
  const given = event.trace ?? null;
  if (given === null)
    return { own: context(connection.traceId, spanId), parent: connection, connection: null };
  return { own: context(given.traceId, spanId), parent: remote(given), connection };
}

/** `endedAt`: milliseconds since the epoch. */
export function spanOf(
  event: EndEvent,
  ids: SpanIds,
  of: { readonly endedAt: number; readonly resource: Resource; readonly version: string },
): ReadableSpan {
  const { own, parent, connection } = ids;
  const failed = event.status >= 500 || event.ended === 'timeout' || event.ended === 'error';
  return {
    name: event.method ?? 'CONNECT',
    kind: SpanKind.SERVER,
    spanContext: () => own,
    ...(parent === null ? {} : { parentSpanContext: parent }),
    startTime: hrTime(of.endedAt - event.ms),
    endTime: hrTime(of.endedAt),
    duration: hrTime(event.ms),
    status: { code: failed ? SpanStatusCode.ERROR : SpanStatusCode.UNSET },
    attributes: { ...flowAttributes(event), ...endAttributes(event) },
    links: connection === null ? [] : [{ context: connection }],
    events: [],
    ended: true,
    resource: of.resource,
    instrumentationScope: { name: 'sallyport', version: of.version },
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
  };
}

function context(traceId: string, spanId: string): SpanContext {
  return { traceId, spanId, traceFlags: TraceFlags.SAMPLED };
}

function remote({ traceId, spanId, sampled }: TraceParent): SpanContext {
  return { traceId, spanId, traceFlags: sampled ? TraceFlags.SAMPLED : TraceFlags.NONE, isRemote: true };
}

function digest(salt: Buffer, text: string, digits: number): string {
  return createHash('sha256').update(salt).update(text).digest('hex').slice(0, digits);
}

/** Seconds and nanoseconds of milliseconds. */
function hrTime(ms: number): HrTime {
  const whole = Math.floor(ms / 1000);
  return [whole, Math.round((ms - whole * 1000) * 1e6)];
}
