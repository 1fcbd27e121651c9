/**
 * The words of Redis (RESP 2), strictly: bytes to replies and commands to bytes, no sockets. Whoever answers may be broken or be
 * something else; what is not RESP, or is too much of it, is an error and never a guess. Used by `redis-line.ts`.
 */

/** Redis refused a command, in its own words. */
export class RedisRefusal extends Error {
  override readonly name = 'RedisRefusal';
}

export type Reply = string | number | null | RedisRefusal | readonly Reply[];

/** A type, a length or a status fits into it by far. */
const MAX_LINE_BYTES = 8_192;
/** Of one reply, all of it: a hash of entries at its cap, and room. */
const MAX_REPLY_BYTES = 24 * 1024 * 1024;
const MAX_DEPTH = 4;
const CR = 13;
const LF = 10;

type List = { readonly items: Reply[]; left: number };
type Bulk = { readonly parts: Buffer[]; readonly length: number; left: number };

export class RespReader {
  /** the beginning of a line */
  #rest: Buffer = Buffer.alloc(0);
  #bulk: Bulk | null = null;
  #lists: List[] = [];
  #bytes = 0;
  #done: Reply[] = [];

  /** Replies that are whole by now. Throws for what is no reply: the connection is of no use any more. */
  feed(chunk: Buffer): readonly Reply[] {
    let data = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = Buffer.alloc(0);
    while (data.length > 0) {
      const used = this.#bulk === null ? this.#line(data) : this.#take(data, this.#bulk);
      if (used === 0) {
        // A copy: the rest of a large chunk must not stay for it.
        this.#rest = Buffer.from(data);
        break;
      }
      this.#bytes += used;
      if (this.#bytes > MAX_REPLY_BYTES) throw new Error('Redis answered more than there can be');
      if (this.#bulk === null && this.#lists.length === 0) this.#bytes = 0;
      data = data.subarray(used);
    }
    return this.#done.splice(0);
  }

  /** How many bytes it took; 0: the line is not whole. */
  #line(data: Buffer): number {
    const end = data.indexOf(LF);
    if (end === -1 ? data.length > MAX_LINE_BYTES : end > MAX_LINE_BYTES) throw noRedis();
    if (end === -1) return 0;
    if (end < 2 || data[end - 1] !== CR) throw noRedis();
    this.#begin(data.toString('latin1', 0, 1), data.toString('utf8', 1, end - 1));
    return end + 1;
  }

  #begin(type: string, text: string): void {
    switch (type) {
      case '+':
        return this.#value(text);
      case '-':
        return this.#value(new RedisRefusal(text));
      case ':':
        return this.#value(numberOf(text));
      case '$': {
        const length = numberOf(text);
        if (length === -1) return this.#value(null);
        if (length < 0 || length > MAX_REPLY_BYTES) throw noRedis();
        this.#bulk = { parts: [], length, left: length + 2 };
        return;
      }
      case '*': {
        const left = numberOf(text);
        if (left === -1) return this.#value(null);
        // Each item takes four bytes at least.
        if (left < 0 || left > MAX_REPLY_BYTES / 4 || this.#lists.length >= MAX_DEPTH) throw noRedis();
        if (left === 0) return this.#value([]);
        this.#lists.push({ items: [], left });
        return;
      }
      default:
        throw noRedis();
    }
  }

  #take(data: Buffer, bulk: Bulk): number {
    const part = data.subarray(0, bulk.left);
    bulk.parts.push(part);
    bulk.left -= part.length;
    if (bulk.left > 0) return part.length;
    const bytes = Buffer.concat(bulk.parts);
    if (bytes[bulk.length] !== CR || bytes[bulk.length + 1] !== LF) throw noRedis();
    this.#bulk = null;
    this.#value(bytes.toString('utf8', 0, bulk.length));
    return part.length;
  }

  #value(value: Reply): void {
    let whole = value;
    for (;;) {
      const list = this.#lists.at(-1);
      if (list === undefined) {
        this.#done.push(whole);
        return;
      }
      list.items.push(whole);
      list.left -= 1;
      if (list.left > 0) return;
      this.#lists.pop();
      whole = list.items;
    }
  }
}

/** A command as it is sent. */
export function commandText(words: readonly (string | number)[]): string {
  const texts = words.map(String);
  return `*${texts.length}\r\n${texts.map((text) => `$${Buffer.byteLength(text)}\r\n${text}\r\n`).join('')}`;
}

function numberOf(text: string): number {
  const number = /^-?\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(number)) throw noRedis();
  return number;
}

function noRedis(): Error {
  return new Error('what answers there is no Redis');
}
