/**
 * Heads out: always rebuilt from parsed facts, never relayed (RFC 9112 section 11.2), with exactly one
 * framing field. Called by `intercept/` and by plain HTTP forwarding. End-to-end fields keep their order,
 * case and bytes; hop-by-hop fields go, with those that `Connection` lists (RFC 9110 section 7.6.1).
 */

import { isHopByHop, isOverride } from './hop.ts';
import type { Field, RequestHead, ResponseFraming, ResponseHead } from './http1-parse.ts';

/** The end of a chunked body, without trailers. */
export const LAST_CHUNK = '0\r\n\r\n';

/** The end of a chunked body. @param trailers field lines, each with its leading CRLF */
export function lastChunk(trailers: string): string {
  return trailers === '' ? LAST_CHUNK : `0${trailers}\r\n\r\n`;
}

export type RequestRebuild = {
  /** request-target to send: origin-form, or `*` */
  readonly path: string;
  /** value of Host to send */
  readonly host: string;
  /** remove the headers that override method or path */
  readonly dropOverrides: boolean;
  /** more fields to remove, by lower-case name; never asked about Host and framing */
  readonly drop?: ((name: string) => boolean) | undefined;
  /** tell the upstream that trailers are read (RFC 9110 section 10.1.4) */
  readonly trailers?: boolean | undefined;
  /** protocol to ask the upstream to switch to: the only way an upgrade is passed on */
  readonly upgrade?: string | undefined;
};

export type ResponseRebuild = {
  /** may the client connection carry another request */
  readonly keepAlive: boolean;
  /** how the body goes to the client; `eof` closes */
  readonly framing: ResponseFraming;
  /** more fields to remove, by lower-case name; of framing it is asked about a length without a body alone */
  readonly drop?: ((name: string) => boolean) | undefined;
};

/** @returns a complete head with its final CRLFCRLF, to be written as latin-1 */
export function rebuildRequestHead(head: RequestHead, to: RequestRebuild): string {
  const hostLine = `\r\nHost: ${to.host}`;
  let out = `${head.method} ${to.path} HTTP/1.1${head.host === null ? hostLine : ''}`;
  const cuts: Cut[] = [];
  for (const field of head.special) {
    const line = requestLine(field, head, to, hostLine);
    if (line !== null) cuts.push({ start: field.start, end: field.end, line });
  }
  out += copyFields(head, cuts, removal(head.nominated, to.drop));
  if (to.trailers === true) out += '\r\nConnection: TE\r\nTE: trailers';
  if (to.upgrade !== undefined) out += `\r\nConnection: Upgrade\r\nUpgrade: ${to.upgrade}`;
  return `${out}\r\n\r\n`;
}

/** @returns a complete head with its final CRLFCRLF, to be written as latin-1 */
export function rebuildResponseHead(head: ResponseHead, to: ResponseRebuild): string {
  const reason = head.text.slice(12, head.fieldsAt);
  let out = `HTTP/1.1 ${head.status}${reason === '' ? ' ' : reason}`;
  const cuts: Cut[] = [];
  let bodyLength: string | null = null;
  let upgrade: string | null = null;
  for (const field of head.special) {
    if (field.name === 'content-length' && to.drop?.(field.name) !== true) bodyLength = decimal(field.value);
    if (field.name === 'upgrade') upgrade = field.value;
    if (dropsFromResponse(field.name)) cuts.push({ start: field.start, end: field.end, line: '' });
  }
  out += copyFields(head, cuts, removal(head.nominated, to.drop));
  out += responseFramingLine(head.status, to.framing, bodyLength);
  if (head.status === 101)
    out += `\r\nConnection: Upgrade${upgrade === null ? '' : `\r\nUpgrade: ${upgrade}`}`;
  else if (head.status >= 200 && (!to.keepAlive || to.framing.kind === 'eof')) out += '\r\nConnection: close';
  return `${out}\r\n\r\n`;
}

/** The line before a chunk's bytes; a CRLF follows them. @param length bytes, above 0 */
export function chunkHeader(length: number): string {
  return `${length.toString(16)}\r\n`;
}

/** A piece of the head's text and what stands in its place, its leading CRLF included. */
type Cut = { readonly start: number; readonly end: number; readonly line: string };

/** What becomes of a special field of a request: null keeps its bytes. */
function requestLine(field: Field, head: RequestHead, to: RequestRebuild, hostLine: string): string | null {
  switch (field.name) {
    case 'host':
      return hostLine;
    case 'content-length':
      return `\r\nContent-Length: ${decimal(field.value)}`;
    case 'transfer-encoding':
      return '\r\nTransfer-Encoding: chunked';
    case 'expect':
      // An expectation that the client cannot have met would leave the upstream waiting.
      return head.expectContinue ? null : '';
    default:
      return isHopByHop(field.name) || (to.dropOverrides && isOverride(field.name)) ? '' : null;
  }
}

/** Override headers mean nothing in a response; Alt-Svc would lead the client past the proxy (RFC 7838). */
function dropsFromResponse(name: string): boolean {
  return name === 'content-length' || name === 'alt-svc' || isHopByHop(name);
}

/**
 * Without a body towards the client, Content-Length may still tell what a GET would have had (HEAD, 304);
 * 1xx and 204 never have one (RFC 9110 section 8.6).
 */
function responseFramingLine(status: number, framing: ResponseFraming, bodyLength: string | null): string {
  switch (framing.kind) {
    case 'length':
      return `\r\nContent-Length: ${framing.length}`;
    case 'chunked':
      return '\r\nTransfer-Encoding: chunked';
    case 'eof':
      return '';
    case 'none':
      return bodyLength === null || status < 200 || status === 204 ? '' : `\r\nContent-Length: ${bodyLength}`;
  }
}

/** `010` is ten and goes out as `10`. */
function decimal(digits: string): string {
  return String(Number(digits));
}

/** Null in the usual case, where no field outside the special ones is to go. */
function removal(
  nominated: readonly string[],
  drop: ((name: string) => boolean) | undefined,
): ((name: string) => boolean) | null {
  if (nominated.length === 0) return drop ?? null;
  const names = new Set(nominated);
  return drop === undefined ? (name) => names.has(name) : (name) => names.has(name) || drop(name);
}

function copyFields(
  head: { readonly text: string; readonly fieldsAt: number },
  cuts: readonly Cut[],
  removes: ((name: string) => boolean) | null,
): string {
  let out = '';
  let at = head.fieldsAt;
  for (const cut of cuts) {
    if (cut.start > at) out += copyPlain(head.text.slice(at, cut.start), removes);
    out += cut.line;
    at = cut.end;
  }
  return out + copyPlain(head.text.slice(at), removes);
}

/** Field lines that no cut covers, minus those to remove. */
function copyPlain(lines: string, removes: ((name: string) => boolean) | null): string {
  if (removes === null || lines === '') return lines;
  let out = '';
  for (const line of lines.slice(2).split('\r\n')) {
    if (!removes(line.slice(0, line.indexOf(':')).toLowerCase())) out += `\r\n${line}`;
  }
  return out;
}
