/**
 * The two heads of a WebSocket handshake (RFC 6455 section 4): is the request a well-formed one, and is the 101 an
 * answer to it. Called by `intercept/upgrade.ts`; every other upgrade is refused there. Pure: the expected
 * Sec-WebSocket-Accept is an argument, since hashing is not for this folder.
 */
import { type Denied, denied } from '../flow/reason.ts';
import { parseConnection, trimOws } from './hop.ts';
import type { RequestHead, ResponseHead } from './http1-parse.ts';

/** One element of Sec-WebSocket-Extensions (RFC 6455 section 9.1). */
export type Extension = {
  /** lower-case */
  readonly name: string;
  /** lower-case names; '' where a parameter has no value */
  readonly params: readonly (readonly [name: string, value: string])[];
  /** as it was written */
  readonly text: string;
};

export type Offer = {
  /** Sec-WebSocket-Key as sent */
  readonly key: string;
  readonly protocols: readonly string[];
  readonly extensions: readonly Extension[];
};

/** 16 bytes in base64: the last character before the padding carries four bits. */
const KEY = /^[A-Za-z0-9+/]{21}[AQgw]==$/;
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const PARAM =
  /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+)(?:=(?:([!#$%&'*+\-.^_`|~0-9A-Za-z]+)|"([!#$%&'*+\-.^_`|~0-9A-Za-z]+)"))?$/;
/** More is no honest offer. */
const MAX_LISTED = 32;

const bad = (detail: string): Denied => denied('bad_request', detail);
const badAnswer = (detail: string): Denied => denied('upstream_bad_response', detail);

/**
 * @param head a request that asks for an upgrade
 * @returns the offer; `upgrade_refused` for any protocol but `websocket`, `bad_request` for a malformed handshake
 */
export function parseOffer(head: RequestHead): Offer | Denied {
  if (head.upgrade !== 'websocket') {
    return denied('upgrade_refused', `Only websocket may be switched to, not ${head.upgrade ?? 'nothing'}.`);
  }
  if (head.method !== 'GET') return bad('A WebSocket handshake is a GET.');
  // RFC 6455 knows no body, not even an empty one that is announced.
  if (head.framing.kind !== 'none') return bad('A WebSocket handshake has no body.');
  if (head.nominated.some(isOurs)) return bad('Connection lists a WebSocket field.');
  const fields = webSocketFields(head);
  if (single(fields, 'sec-websocket-version') !== '13') return bad('Sec-WebSocket-Version must be 13, once.');
  const key = single(fields, 'sec-websocket-key');
  if (key === null || !KEY.test(key)) return bad('Sec-WebSocket-Key must be 16 bytes in base64, once.');
  if (fields.has('sec-websocket-accept')) return bad('Sec-WebSocket-Accept in a request.');
  const protocols = listOf(fields, 'sec-websocket-protocol');
  const extensions = parseExtensions(listOf(fields, 'sec-websocket-extensions'));
  if (!protocols.every((one) => TOKEN.test(one)) || protocols.length > MAX_LISTED) {
    return bad('Malformed Sec-WebSocket-Protocol.');
  }
  return extensions === null ? bad('Malformed Sec-WebSocket-Extensions.') : { key, protocols, extensions };
}

/**
 * Judges a 101 (section 4.1, second half).
 * @param accept what Sec-WebSocket-Accept must be
 * @returns the extensions agreed on, or `upstream_bad_response`
 */
export function parseAgreement(
  head: ResponseHead,
  offer: Offer,
  accept: string,
): readonly Extension[] | Denied {
  const upgrade = head.special.filter(({ name }) => name === 'upgrade');
  if (upgrade.length !== 1 || upgrade[0]?.value.toLowerCase() !== 'websocket') {
    return badAnswer('101 to another protocol');
  }
  const listed = head.special.filter(({ name }) => name === 'connection').map(({ value }) => value);
  const options = parseConnection(listed.join(','));
  if (head.minor !== 1 || options?.upgrade !== true || head.nominated.some(isOurs)) {
    return badAnswer('101 without Connection: Upgrade');
  }
  const fields = webSocketFields(head);
  if (single(fields, 'sec-websocket-accept') !== accept) return badAnswer('wrong Sec-WebSocket-Accept');
  const chosen = fields.get('sec-websocket-protocol') ?? [];
  if (chosen.length > 1 || !chosen.every((one) => offer.protocols.includes(one))) {
    return badAnswer('101 with a subprotocol that nobody asked for');
  }
  const extensions = parseExtensions(listOf(fields, 'sec-websocket-extensions'));
  const asked = new Set(offer.extensions.map(({ name }) => name));
  if (extensions?.every(({ name }) => asked.has(name)) !== true) {
    return badAnswer('101 with an extension that nobody asked for');
  }
  return extensions;
}

/**
 * A rebuilt request head with other extensions in its offer.
 * @param head with its final CRLFCRLF and without any Sec-WebSocket-Extensions
 */
export function withExtensions(head: string, extensions: readonly Extension[]): string {
  if (extensions.length === 0) return head;
  const value = extensions.map(({ text }) => text).join(', ');
  return `${head.slice(0, -2)}Sec-WebSocket-Extensions: ${value}\r\n\r\n`;
}

function isOurs(name: string): boolean {
  return name.startsWith('sec-websocket-');
}

type Fields = ReadonlyMap<string, readonly string[]>;

/** Values by lower-case name of all Sec-WebSocket-* fields. */
function webSocketFields(head: { readonly text: string; readonly fieldsAt: number }): Fields {
  const fields = new Map<string, string[]>();
  for (const line of head.text.slice(head.fieldsAt + 2).split('\r\n')) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).toLowerCase();
    if (!isOurs(name)) continue;
    const value = trimOws(line.slice(colon + 1));
    const before = fields.get(name);
    if (before === undefined) fields.set(name, [value]);
    else before.push(value);
  }
  return fields;
}

function single(fields: Fields, name: string): string | null {
  const values = fields.get(name);
  return values?.length === 1 ? (values[0] ?? null) : null;
}

/** RFC 9110 section 5.6.1: several fields are one list, empty elements are ignored. */
function listOf(fields: Fields, name: string): readonly string[] {
  const values = fields.get(name) ?? [];
  return values.flatMap((value) => value.split(',').map(trimOws)).filter((one) => one !== '');
}

/** Null where an element is malformed. A quoted comma is: no value of a known extension has one. */
function parseExtensions(elements: readonly string[]): readonly Extension[] | null {
  if (elements.length > MAX_LISTED) return null;
  const extensions: Extension[] = [];
  for (const text of elements) {
    const [name = '', ...rest] = text.split(';').map(trimOws);
    if (!TOKEN.test(name)) return null;
    const params: [string, string][] = [];
    for (const part of rest) {
      const match = PARAM.exec(part);
      if (match === null) return null;
      params.push([(match[1] ?? '').toLowerCase(), match[2] ?? match[3] ?? '']);
    }
    extensions.push({ name: name.toLowerCase(), params, text });
  }
  return extensions;
}
