/** Sinks that write down what a reader tells, for scripts of a conversation. */
import { Buffer } from 'node:buffer';
import type { Denied } from '../../../src/flow/reason.ts';
import type { RequestHead, ResponseHead } from '../../../src/wire/http1-parse.ts';
import { type HeadLimits, RequestReader } from '../../../src/wire/http1-reader.ts';
import { ResponseReader } from '../../../src/wire/http1-response-reader.ts';

export type RecordedRequests = {
  readonly reader: RequestReader;
  readonly heads: RequestHead[];
  readonly faults: Denied[];
  /** `METHOD target`, `body TEXT` (adjoining slices joined), `end`, `fault REASON` */
  readonly events: string[];
};

/** @param automatic call `next()` at every end */
export function recordRequests(automatic: boolean, limits?: Partial<HeadLimits>): RecordedRequests {
  const events: string[] = [];
  const heads: RequestHead[] = [];
  const faults: Denied[] = [];
  const reader = new RequestReader(
    {
      head(head) {
        heads.push(head);
        events.push(`${head.method} ${head.target}`);
      },
      body: (bytes) => addBody(events, bytes),
      end() {
        events.push('end');
        if (automatic) reader.next();
      },
      fault(fault) {
        faults.push(fault);
        events.push(`fault ${fault.reason}`);
      },
    },
    limits,
  );
  return { reader, heads, faults, events };
}

export type RecordedResponses = {
  readonly reader: ResponseReader;
  readonly heads: ResponseHead[];
  /** `interim STATUS`, `STATUS framing`, `body TEXT`, `end`, `fault REASON` */
  readonly events: string[];
};

export function recordResponses(limits?: Partial<HeadLimits>): RecordedResponses {
  const events: string[] = [];
  const heads: ResponseHead[] = [];
  const reader = new ResponseReader(
    {
      interim: (head) => void events.push(`interim ${head.status}`),
      head(head) {
        heads.push(head);
        events.push(`${head.status} ${head.framing.kind}`);
      },
      body: (bytes) => addBody(events, bytes),
      end: () => void events.push('end'),
      fault: (fault) => void events.push(`fault ${fault.reason}`),
    },
    limits,
  );
  return { reader, heads, events };
}

/** Feeds the bytes in pieces through one scratch buffer that is overwritten after each, as sockets do. */
export function feedInPieces(
  reader: { feed(bytes: Buffer): void },
  bytes: Buffer,
  sizes: readonly number[],
): void {
  const scratch = Buffer.alloc(Math.max(bytes.length, 1));
  let at = 0;
  let turn = 0;
  while (at < bytes.length) {
    const size = Math.max(1, sizes[turn++ % Math.max(sizes.length, 1)] ?? bytes.length);
    const piece = scratch.subarray(0, Math.min(size, bytes.length - at));
    bytes.copy(piece, 0, at);
    reader.feed(piece);
    scratch.fill(0x21);
    at += piece.length;
  }
}

function addBody(events: string[], bytes: Buffer): void {
  const last = events.at(-1);
  const text = bytes.toString('latin1');
  if (last?.startsWith('body ') === true) events[events.length - 1] = last + text;
  else events.push(`body ${text}`);
}
