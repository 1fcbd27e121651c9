/**
 * The body of a ClientHello (RFC 8446 section 4.1.2): every length must come out exactly, no extension may
 * stand twice. Called by `hello.ts` with the whole message. A complaint is text.
 */
import type { Buffer } from 'node:buffer';
import type { Host } from '../flow/target.ts';
import { isAuthority, parseAuthority } from './authority.ts';

export type HelloBody = {
  readonly sni: Host | null;
  readonly alpn: readonly string[];
  readonly ech: boolean;
};

const SERVER_NAME = 0;
const ALPN = 16;
const PRE_SHARED_KEY = 41;
const ENCRYPTED_CLIENT_HELLO = 0xfe0d;
const ECH_OUTER_EXTENSIONS = 0xfd00;
const HOST_NAME = 0;
const RANDOM_BYTES = 32;
const MAX_SESSION_ID_BYTES = 32;

/** @param body the handshake message without its type and length */
export function parseHelloBody(body: Buffer): HelloBody | string {
  const cursor = new Cursor(body, 0, body.length);
  const version = cursor.number(2);
  if (version === null || version < 0x0301 || version > 0x0303) return 'unknown legacy version';
  if (cursor.take(RANDOM_BYTES) === null) return 'cut short';
  const sessionId = cursor.vector(1);
  if (sessionId === null || sessionId.length > MAX_SESSION_ID_BYTES) return 'malformed session id';
  const ciphers = cursor.vector(2);
  if (ciphers === null || ciphers.length === 0 || ciphers.length % 2 !== 0) return 'malformed cipher suites';
  const compression = cursor.vector(1);
  // Every version wants the null method among them.
  if (compression === null || !compression.holds(0)) return 'malformed compression methods';
  // Before TLS 1.3 the extensions may be missing altogether.
  if (cursor.atEnd) return { sni: null, alpn: [], ech: false };
  const extensions = cursor.vector(2);
  if (extensions === null || !cursor.atEnd) return 'extensions do not fill the message';
  return readExtensions(extensions);
}

function readExtensions(list: Cursor): HelloBody | string {
  const extensions = listExtensions(list);
  if (typeof extensions === 'string') return extensions;
  // Only ever inside the encrypted inner hello (RFC 9849 section 5.1).
  if (extensions.has(ECH_OUTER_EXTENSIONS)) return 'outer extensions in the outer hello';
  const nameData = extensions.get(SERVER_NAME);
  const sni = nameData === undefined ? null : readServerName(nameData);
  if (nameData !== undefined && sni === null) return 'malformed server_name';
  const alpnData = extensions.get(ALPN);
  const alpn = alpnData === undefined ? [] : readAlpn(alpnData);
  if (alpn === null) return 'malformed application_layer_protocol_negotiation';
  return { sni, alpn, ech: extensions.has(ENCRYPTED_CLIENT_HELLO) };
}

/** RFC 8446 section 4.2: none twice, pre_shared_key last. */
function listExtensions(cursor: Cursor): Map<number, Cursor> | string {
  const extensions = new Map<number, Cursor>();
  while (!cursor.atEnd) {
    const type = cursor.number(2);
    const data = cursor.vector(2);
    if (type === null || data === null) return 'extension is cut short';
    if (extensions.has(type)) return 'duplicate extension';
    if (extensions.has(PRE_SHARED_KEY)) return 'extension behind pre_shared_key';
    extensions.set(type, data);
  }
  return extensions;
}

/** RFC 6066 section 3: a list, here of exactly one host name; no address, no trailing dot. */
function readServerName(data: Cursor): Host | null {
  const list = data.vector(2);
  if (list === null || !data.atEnd) return null;
  if (list.number(1) !== HOST_NAME) return null;
  const name = list.vector(2);
  if (name === null || !list.atEnd) return null;
  const text = name.text();
  // A port is no part of a name: with a colon in the text, the one that we add is the second.
  const authority = parseAuthority(`${text}:443`);
  const valid = isAuthority(authority) && authority.kind === 'name' && !text.endsWith('.');
  return valid ? authority.host : null;
}

/** RFC 7301 section 3.1. */
function readAlpn(data: Cursor): string[] | null {
  const list = data.vector(2);
  if (list === null || list.length === 0 || !data.atEnd) return null;
  const names: string[] = [];
  while (!list.atEnd) {
    const name = list.vector(1);
    if (name === null || name.length === 0) return null;
    names.push(name.text());
  }
  return names;
}

/**
 * A part of the message that is being read: numbers and length-prefixed vectors, null at the first one that is cut
 * short. Vectors are cursors over the same bytes: a view of each would cost more than to read it.
 */
class Cursor {
  #at: number;
  readonly #end: number;
  readonly #bytes: Buffer;

  constructor(bytes: Buffer, from: number, end: number) {
    this.#bytes = bytes;
    this.#at = from;
    this.#end = end;
  }

  get atEnd(): boolean {
    return this.#at === this.#end;
  }

  /** bytes that are not read yet */
  get length(): number {
    return this.#end - this.#at;
  }

  number(size: 1 | 2): number | null {
    const at = this.#at;
    if (this.length < size) return null;
    this.#at = at + size;
    return size === 1 ? this.#bytes.readUInt8(at) : this.#bytes.readUInt16BE(at);
  }

  vector(lengthSize: 1 | 2): Cursor | null {
    const length = this.number(lengthSize);
    return length === null ? null : this.take(length);
  }

  take(length: number): Cursor | null {
    const from = this.#at;
    if (this.length < length) return null;
    this.#at = from + length;
    return new Cursor(this.#bytes, from, from + length);
  }

  /** Does what is left hold the byte. */
  holds(byte: number): boolean {
    const found = this.#bytes.indexOf(byte, this.#at);
    return found !== -1 && found < this.#end;
  }

  /** What is left, each byte a character. */
  text(): string {
    return this.#bytes.toString('latin1', this.#at, this.#end);
  }
}
