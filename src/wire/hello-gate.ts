/**
 * What may be the first bytes of a tunnel. Where the rule says TLS, a whole ClientHello whose server name is the
 * CONNECT host; where it says anything, other bytes pass, but bytes that are a ClientHello must still name the host.
 * Pure; `tunnel.ts` and `intercept/terminate.ts` feed it. RFC 6066 section 3, RFC 8446 section 4.1.2.
 */
import { type Denied, denied } from '../flow/reason.ts';
import type { Target } from '../flow/target.ts';
import { type Hello, HelloReader } from './hello.ts';

export type HelloVerdict =
  | { readonly kind: 'more' }
  /** all bytes fed so far, to be sent on; `alpn`: what a ClientHello offers */
  | { readonly kind: 'pass'; readonly bytes: Buffer; readonly alpn: readonly string[] }
  | Denied;

const TLS_HANDSHAKE = 0x16;
const EMPTY: Buffer = Buffer.alloc(0);

export class HelloGate {
  readonly #target: Target;
  readonly #protocol: 'tls' | 'any';
  #reader: HelloReader | null = null;
  #seen: Buffer[] = [];

  constructor(target: Target, protocol: 'tls' | 'any') {
    this.#target = target;
    this.#protocol = protocol;
  }

  /** Takes bytes as they came, split anywhere; copies what it keeps. */
  feed(bytes: Buffer): HelloVerdict {
    if (this.#protocol === 'any' && (this.#seen[0] ?? bytes)[0] !== TLS_HANDSHAKE) return this.#letAll(bytes);
    this.#reader ??= new HelloReader();
    const hello = this.#reader.feed(bytes);
    switch (hello.kind) {
      case 'more':
        this.#seen.push(Buffer.from(bytes));
        return hello;
      case 'bad':
        if (this.#protocol === 'any') return this.#letAll(bytes);
        this.#seen.push(Buffer.from(bytes));
        return denied('not_tls', hello.why);
      case 'hello':
        return sniProblem(hello, this.#target) ?? { kind: 'pass', bytes: hello.bytes, alpn: hello.alpn };
    }
  }

  #letAll(bytes: Buffer): HelloVerdict {
    this.#seen.push(Buffer.from(bytes));
    return this.release();
  }

  /** What came first; empty before anything did. */
  get first(): Buffer {
    return this.#seen[0] ?? EMPTY;
  }

  /** Gives up waiting: hands back what was held. */
  release(): { readonly kind: 'pass'; readonly bytes: Buffer; readonly alpn: readonly string[] } {
    const bytes = this.#seen.length === 1 ? this.first : Buffer.concat(this.#seen);
    this.#seen = [];
    return { kind: 'pass', bytes, alpn: [] };
  }
}

/** Null when the hello may go to the target. An address literal has no name that a client could send. */
export function sniProblem(hello: Hello, target: Target): Denied | null {
  const expected = target.kind === 'name' ? target.host : null;
  if (hello.sni === expected) return null;
  return denied('sni_mismatch', hello.sni === null ? 'The ClientHello names no server.' : undefined);
}
