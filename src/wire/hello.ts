/**
 * A TLS ClientHello, reassembled over records and segments (RFC 8446 sections 4.1.2 and 5.1): server name,
 * ALPN, and whether it may hide another name. Called before a byte of a tunnel goes upstream and before
 * interception. Refuses what implementations read in different ways; the extensions are in `hello-body.ts`.
 */
import { Buffer } from 'node:buffer';
import type { Host } from '../flow/target.ts';
import { parseHelloBody } from './hello-body.ts';

export type Hello = {
  readonly kind: 'hello';
  readonly sni: Host | null;
  readonly alpn: readonly string[];
  /** is the encrypted_client_hello extension there, be it real or GREASE */
  readonly ech: boolean;
  /** everything fed so far */
  readonly bytes: Buffer;
};

type More = { readonly kind: 'more' };
type Bad = { readonly kind: 'bad'; readonly why: string };

/** Post-quantum key shares and tickets take some 4 KB; what is far above is there to pass a filter by. */
const MAX_HELLO_BYTES = 32_768;
const HANDSHAKE_RECORD = 22;
const CLIENT_HELLO = 1;
const RECORD_HEADER_BYTES = 5;
const HANDSHAKE_HEADER_BYTES = 4;
/** RFC 8446 section 5.1 allows 2^14 of plaintext; older stacks count what padding might add. */
const MAX_RECORD_BYTES = 2 ** 14 + 256;
const MORE: More = { kind: 'more' };
const EMPTY: Buffer = Buffer.alloc(0);

export class HelloReader {
  /** all bytes fed, and how many of them are filled */
  #bytes = EMPTY;
  #length = 0;
  /** offset of the first record not yet taken in */
  #record = 0;
  /** where the handshake bytes of the taken records lie */
  readonly #fragments: Array<{ readonly from: number; readonly to: number }> = [];
  #handshake = 0;
  #result: Hello | Bad | null = null;
  readonly #maxBytes: number;

  /** @param maxBytes cap of the handshake message; everything fed is capped at twice that */
  constructor(maxBytes: number = MAX_HELLO_BYTES) {
    this.#maxBytes = maxBytes;
  }

  /** Copies the bytes. After `hello` or `bad` the answer stays the same. */
  feed(bytes: Buffer): Hello | More | Bad {
    if (this.#result !== null) return this.#result;
    if (!this.#append(bytes)) return this.#bad('too many bytes before the end of the ClientHello');
    while (this.#record < this.#length) {
      const step = this.#takeRecord();
      if (step !== null) return step;
    }
    return MORE;
  }

  /** @returns null when a record was taken in and the message goes on */
  #takeRecord(): Hello | More | Bad | null {
    const at = this.#record;
    const bytes = this.#bytes;
    const have = this.#length - at;
    if (bytes[at] !== HANDSHAKE_RECORD) return this.#bad('not a TLS handshake record');
    if (have > 1 && bytes[at + 1] !== 3) return this.#bad('unknown record version');
    if (have > 2 && (bytes[at + 2] ?? 4) > 3) return this.#bad('unknown record version');
    if (have < RECORD_HEADER_BYTES) return MORE;
    const size = bytes.readUInt16BE(at + 3);
    if (size === 0 || size > MAX_RECORD_BYTES) return this.#bad('record length');
    const from = at + RECORD_HEADER_BYTES;
    // The type is known before the record is whole: what is no ClientHello need not be waited for.
    if (this.#handshake === 0 && have > RECORD_HEADER_BYTES && bytes[from] !== CLIENT_HELLO) {
      return this.#bad('not a ClientHello');
    }
    if (have < RECORD_HEADER_BYTES + size) return MORE;
    this.#fragments.push({ from, to: from + size });
    this.#handshake += size;
    this.#record = from + size;
    return this.#takeMessage();
  }

  #takeMessage(): Hello | Bad | null {
    if (this.#handshake < HANDSHAKE_HEADER_BYTES) return null;
    const header = this.#joined(HANDSHAKE_HEADER_BYTES);
    if (header[0] !== CLIENT_HELLO) return this.#bad('not a ClientHello');
    const size = HANDSHAKE_HEADER_BYTES + header.readUIntBE(1, 3);
    if (size > this.#maxBytes) return this.#bad('ClientHello is too long');
    if (this.#handshake < size) return null;
    if (this.#handshake > size) return this.#bad('bytes behind the ClientHello in its record');
    const body = parseHelloBody(this.#joined(size).subarray(HANDSHAKE_HEADER_BYTES));
    if (typeof body === 'string') return this.#bad(body);
    this.#result = { kind: 'hello', ...body, bytes: this.#bytes.subarray(0, this.#length) };
    return this.#result;
  }

  /** The first `size` handshake bytes, without record headers. */
  #joined(size: number): Buffer {
    const [first] = this.#fragments;
    if (first !== undefined && first.to - first.from >= size) {
      return this.#bytes.subarray(first.from, first.from + size);
    }
    return Buffer.concat(
      this.#fragments.map(({ from, to }) => this.#bytes.subarray(from, to)),
      size,
    );
  }

  #append(bytes: Buffer): boolean {
    const needed = this.#length + bytes.length;
    if (needed > this.#maxBytes * 2) return false;
    if (this.#length === 0) {
      // Most come whole.
      this.#bytes = Buffer.from(bytes);
    } else {
      if (needed > this.#bytes.length) this.#grow(Math.max(needed, this.#bytes.length * 2));
      bytes.copy(this.#bytes, this.#length);
    }
    this.#length = needed;
    return true;
  }

  #grow(size: number): void {
    const grown = Buffer.allocUnsafeSlow(size);
    this.#bytes.copy(grown, 0, 0, this.#length);
    this.#bytes = grown;
  }

  #bad(why: string): Bad {
    const bad: Bad = { kind: 'bad', why };
    this.#result = bad;
    this.#bytes = Buffer.alloc(0);
    return bad;
  }
}
