/** The beginning of a body that waits for a person: kept, counted for its group, and shown without keys. */
import { createHash } from 'node:crypto';
import type { BodyView } from '../base/approvals.ts';
import { type Denied, denied } from '../flow/reason.ts';
import { withKeyNames } from '../secrets/shown.ts';
import type { ExchangeDeps, ExchangeJob } from './exchange-job.ts';

/** Of a body, read before the client is paused. */
const READ_AHEAD_BYTES = 64 * 1024;
/** Characters of it that a person sees. */
const SHOWN_CHARS = 2_048;
/** Bytes that are looked at for them. */
const LOOKED_AT_BYTES = 16 * 1024;
/** Pieces below this length are copied, side by side: a slice of one byte costs a hundred. */
const SMALL_BYTES = 512;
const JOINED_BYTES = 4 * 1024;
const FULL = denied('overloaded', 'Too much of what this group sends waits for a person already.');
/** Control characters, but those of lines of text. */
const NOT_TEXT = /[^\t\r\n\P{Cc}]/u;

type Deps = Pick<ExchangeDeps, 'ahead' | 'bindings'>;
type Job = Pick<ExchangeJob, 'identity'> & {
  readonly head: Pick<ExchangeJob['head'], 'framing' | 'text'>;
  readonly side: Pick<ExchangeJob['side'], 'pause'>;
  readonly record: Pick<ExchangeJob['record'], 'requestId'>;
};

export type BodyTaker = {
  body(bytes: Buffer): void;
  bodyEnd(trailers: string): void;
  flush(): void;
};

export class HeldBody {
  bytes = 0;
  /** the request is complete */
  whole: boolean;
  readonly #deps: Deps;
  readonly #job: Job;
  #parts: Buffer[] = [];
  /** of small pieces; what there is of it is the last part */
  #joined: Buffer | null = null;
  #joinedLength = 0;
  #trailers = '';
  #taken = 0;
  /** of a whole request, whose bytes do not change any more */
  #likeness: string | null = null;

  constructor(deps: Deps, job: Job) {
    this.#deps = deps;
    this.#job = job;
    this.whole = job.head.framing.kind === 'none';
  }

  /** Refuses with `overloaded` where the group has no room for it. */
  add(bytes: Buffer): Denied | null {
    const { ahead } = this.#deps;
    if (!ahead.take(this.#job.identity.group, bytes.length)) return FULL;
    this.#taken += bytes.length;
    this.bytes += bytes.length;
    this.#keep(bytes);
    if (this.bytes >= READ_AHEAD_BYTES) this.#job.side.pause();
    return null;
  }

  end(trailers: string): void {
    this.whole = true;
    this.#trailers = trailers;
  }

  /** Gives all of it to the exchange that goes on. */
  handTo(exchange: BodyTaker): void {
    for (const part of this.#parts) exchange.body(part);
    if (this.whole && this.#job.head.framing.kind !== 'none') exchange.bodyEnd(this.#trailers);
    this.#parts = [];
    this.#joined = null;
    exchange.flush();
  }

  /** It counts for nobody any more. Safe to repeat. */
  giveBack(): void {
    this.#deps.ahead.give(this.#job.identity.group, this.#taken);
    this.#taken = 0;
  }

  view(): BodyView | null {
    const { framing, text } = this.#job.head;
    if (framing.kind === 'none') return null;
    const shown = this.#text();
    return {
      bytes: this.bytes,
      length: framing.kind === 'length' ? framing.length : null,
      type: fieldOf(text, 'content-type'),
      text: shown?.slice(0, SHOWN_CHARS) ?? null,
      whole: this.whole && this.bytes <= LOOKED_AT_BYTES && shown !== null && shown.length <= SHOWN_CHARS,
    };
  }

  /** `words`: what else a person judges by. */
  likeness(words: readonly string[]): string {
    if (this.#likeness !== null) return this.#likeness;
    const hash = createHash('sha256').update(JSON.stringify(words));
    // What has not come yet may be anything: such a request is like no other.
    if (!this.whole) return hash.update(this.#job.record.requestId).digest('hex');
    for (const part of this.#parts) hash.update(part);
    this.#likeness = hash.digest('hex');
    return this.#likeness;
  }

  #keep(bytes: Buffer): void {
    if (bytes.length >= SMALL_BYTES) {
      this.#joined = null;
      this.#parts.push(bytes);
      return;
    }
    if (this.#joined === null || this.#joinedLength + bytes.length > JOINED_BYTES) {
      this.#joined = Buffer.allocUnsafe(JOINED_BYTES);
      this.#joinedLength = 0;
      this.#parts.push(this.#joined.subarray(0, 0));
    }
    bytes.copy(this.#joined, this.#joinedLength);
    this.#joinedLength += bytes.length;
    this.#parts[this.#parts.length - 1] = this.#joined.subarray(0, this.#joinedLength);
  }

  #beginning(): Buffer {
    const parts: Buffer[] = [];
    let left = LOOKED_AT_BYTES;
    for (const part of this.#parts) {
      if (left <= 0) break;
      parts.push(part.subarray(0, left));
      left -= part.length;
    }
    return Buffer.concat(parts);
  }

  #text(): string | null {
    if (fieldOf(this.#job.head.text, 'content-encoding') !== null) return null;
    const latin = this.#beginning().toString('latin1');
    const shown = withKeyNames(latin, this.#deps.bindings(this.#job.identity));
    if (shown === null) return null;
    try {
      const decoder = new TextDecoder('utf-8', { fatal: true });
      // `stream`: the last character may not have come whole.
      const text = decoder.decode(Buffer.from(shown, 'latin1'), { stream: true });
      return NOT_TEXT.test(text) ? null : text;
    } catch {
      return null; // not UTF-8, so no text
    }
  }
}

/** The value of a field of a validated head, the first one where it is repeated. */
function fieldOf(head: string, name: string): string | null {
  const found = new RegExp(`\\r\\n${name}:[\\t ]*([^\\r]*)`, 'i').exec(head);
  return found?.[1]?.trimEnd() ?? null;
}
