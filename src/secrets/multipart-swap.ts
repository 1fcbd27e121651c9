/**
 * A multipart body (RFC 2046 section 5.1, RFC 7578) on its way up: each part is swapped as its own media type wants it;
 * in what stands between parts, and in their headers, nothing is put in. Read strictly: a line that some reader might
 * take for a boundary and another might not is refused. Used by `body-swap.ts`.
 */
import { denied } from '../flow/reason.ts';
import { type BodyFormat, bodyTypeOf, valuesOf } from './body-type.ts';
import { PartSwap, type SwapState } from './part-swap.ts';
import type { Pieces } from './stream.ts';

const MAX_PART_HEAD_BYTES = 16_384;
/** White space that may follow a boundary on its line. */
const MAX_PADDING_BYTES = 64;

export class MultipartSwap {
  readonly #state: SwapState;
  readonly #delimiter: string;
  /** `between`: preamble, epilogue, boundary lines and part headers */
  #at: 'content' | 'boundary' | 'head' | 'epilogue' = 'content';
  #part: PartSwap;
  /** latin-1, not looked at yet */
  #held = '\r\n';
  /** the CRLF before the first boundary is ours */
  #ours = 2;

  constructor(state: SwapState, boundary: string) {
    this.#state = state;
    this.#delimiter = `\r\n--${boundary}`;
    this.#part = new PartSwap(state, 'opaque');
  }

  feed(bytes: Buffer, out: Pieces): boolean {
    this.#held += bytes.toString('latin1');
    while (this.#state.denied === null && this.#step(out));
    return this.#state.denied === null;
  }

  end(out: Pieces): boolean {
    // What is not finished goes up as it is, searched like all between parts: the upstream will not take it for whole.
    if (this.#at === 'boundary' || this.#at === 'head') this.#part = new PartSwap(this.#state, 'opaque');
    const rest = this.#held;
    this.#held = '';
    return this.#pass(rest, out) && this.#part.end(out);
  }

  whole(bytes: Buffer, out: Pieces): boolean {
    return this.feed(bytes, out) && this.end(out);
  }

  /** False: more bytes are needed. */
  #step(out: Pieces): boolean {
    switch (this.#at) {
      case 'content':
        return this.#readContent(out);
      case 'boundary':
        return this.#readBoundary(out);
      case 'head':
        return this.#readHead(out);
      case 'epilogue':
        this.#pass(this.#take(this.#held.length), out);
        return false;
    }
  }

  #readContent(out: Pieces): boolean {
    const found = this.#held.indexOf(this.#delimiter);
    const to = found === -1 ? beginningAt(this.#held, this.#delimiter) : found;
    this.#pass(this.#take(to), out);
    if (found === -1) return false;
    this.#part.end(out);
    this.#part = new PartSwap(this.#state, 'opaque');
    this.#at = 'boundary';
    return true;
  }

  #readBoundary(out: Pieces): boolean {
    const line = this.#delimiter.length;
    if (this.#held.length < line + 2) return false;
    if (this.#held.startsWith('--', line)) {
      this.#at = 'epilogue';
      return true;
    }
    const end = this.#held.indexOf('\r\n', line);
    const padding = this.#held.slice(line, end === -1 ? undefined : end);
    const blank = /^[ \t]*\r?$/.test(padding);
    if (!blank || padding.length > MAX_PADDING_BYTES)
      return this.#malformed('a line that begins like a boundary');
    if (end === -1) return false;
    // The CRLF stays: an empty part head is a CRLF, too.
    this.#pass(this.#take(end), out);
    this.#at = 'head';
    return true;
  }

  #readHead(out: Pieces): boolean {
    const end = this.#held.indexOf('\r\n\r\n');
    if (end === -1 && this.#held.length <= MAX_PART_HEAD_BYTES) return false;
    if (end === -1 || end > MAX_PART_HEAD_BYTES) return this.#malformed('a part whose header is too large');
    // The second CRLF stays: an empty part ends where it begins.
    const head = this.#take(end + 2);
    this.#pass(head, out);
    this.#part.end(out);
    this.#part = new PartSwap(this.#state, formatOf(head));
    this.#at = 'content';
    return true;
  }

  #take(length: number): string {
    const taken = this.#held.slice(0, length);
    this.#held = this.#held.slice(length);
    return taken;
  }

  #pass(text: string, out: Pieces): boolean {
    const sent = text.slice(this.#ours);
    this.#ours = Math.max(0, this.#ours - text.length);
    return this.#part.feed(Buffer.from(sent, 'latin1'), out);
  }

  #malformed(what: string): false {
    return this.#state.refuse(denied('bad_request', `The multipart body holds ${what}.`));
  }
}

/** Where the end of the text is the beginning of `wanted`; the text's length where it is not. */
function beginningAt(text: string, wanted: string): number {
  for (let at = Math.max(0, text.length - wanted.length + 1); at < text.length; at += 1) {
    if (wanted.startsWith(text.slice(at))) return at;
  }
  return text.length;
}

function formatOf(head: string): BodyFormat {
  const encodings = valuesOf(head, 'content-transfer-encoding');
  if (encodings.some((one) => !/^(?:7bit|8bit|binary)$/i.test(one))) return 'opaque';
  const type = bodyTypeOf(valuesOf(head, 'content-type'));
  return type.kind === 'single' ? type.format : 'opaque';
}
