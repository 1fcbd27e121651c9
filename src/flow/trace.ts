/** Which trace a request is part of, as its client says (W3C Trace Context, level 1). */

export type TraceParent = {
  /** 32 hex digits, not all zero */
  readonly traceId: string;
  /** 16 hex digits, not all zero */
  readonly spanId: string;
  readonly sampled: boolean;
};

const VERSION_00 = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;
const ZEROS = /^0+$/;

/** Reads a `traceparent` field; null for anything that is not one of version 00. */
export function parseTraceParent(text: string): TraceParent | null {
  const [, traceId = '', spanId = '', flags = ''] = VERSION_00.exec(text) ?? [];
  if (traceId === '' || ZEROS.test(traceId) || ZEROS.test(spanId)) return null;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}
