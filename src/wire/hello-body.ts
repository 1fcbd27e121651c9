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
  const cursor = new Cursor(body);
  const version = cursor.number(2);
  if (version === null || version < 0x0301 || version > 0x0303) return 'unknown legacy version';
  if (cursor.take(RANDOM_BYTES) === null) return 'cut short';
  const sessionId = cursor.vector(1);
  if (sessionId === null || sessionId.length > MAX_SESSION_ID_BYTES) return 'malformed session id';
  const ciphers = cursor.vector(2);
  if (ciphers === null || ciphers.length === 0 || ciphers.length % 2 !== 0) return 'malformed cipher suites';
  const compression = cursor.vector(1);
  // Every version wants the null method among them.
  if (compression === null || !compression.includes(0)) return 'malformed compression methods';
  // Before TLS 1.3 the extensions may be missing altogether.
  if (cursor.atEnd) return { sni: null, alpn: [], ech: false };
  const extensions = cursor.vector(2);
  if (extensions === null || !cursor.atEnd) return 'extensions do not fill the message';
  return readExtensions(extensions);
}

function readExtensions(bytes: Buffer): HelloBody | string {
  const extensions = listExtensions(bytes);
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
function listExtensions(bytes: Buffer): Map<number, Buffer> | string {
  const cursor = new Cursor(bytes);
  const extensions = new Map<number, Buffer>();
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
function readServerName(data: Buffer): Host | null {
  const outer = new Cursor(data);
  const list = outer.vector(2);
  if (list === null || !outer.atEnd) return null;
  const cursor = new Cursor(list);
  if (cursor.number(1) !== HOST_NAME) return null;
  const name = cursor.vector(2);
  if (name === null || !cursor.atEnd) return null;
  const text = name.toString('latin1');
  // A port is no part of a name: with a colon in the text, the one that we add is the second.
  const authority = parseAuthority(`${text}:443`);
  const valid = isAuthority(authority) && authority.kind === 'name' && !text.endsWith('.');
  return valid ? authority.host : null;
}

/** RFC 7301 section 3.1. */
function readAlpn(data: Buffer): string[] | null {
  const outer = new Cursor(data);
  const list = outer.vector(2);
  if (list === null || list.length === 0 || !outer.atEnd) return null;
  const cursor = new Cursor(list);
  const names: string[] = [];
  while (!cursor.atEnd) {
    const name = cursor.vector(1);
    if (name === null || name.length === 0) return null;
    names.push(name.toString('latin1'));
  }
  return names;
}

/** Reads numbers and length-prefixed vectors; null at the first one that is cut short. */
class Cursor {
  #at = 0;
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get atEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  number(size: 1 | 2): number | null {
    const bytes = this.take(size);
    return bytes === null ? null : bytes.readUIntBE(0, size);
  }

  vector(lengthSize: 1 | 2): Buffer | null {
    const length = this.number(lengthSize);
    return length === null ? null : this.take(length);
  }

  take(length: number): Buffer | null {
    if (this.#bytes.length - this.#at < length) return null;
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }
}
