/**
 * What belongs to one connection and never passes through (RFC 9110 section 7.6.1), and the request
 * headers that re-aim a request behind the policy's back. Called by `http1-parse.ts` and
 * `http1-write.ts`, and by whoever turns an HTTP/1 head into HTTP/2. Names are in lower case.
 */

/** Removed from every message, whether `Connection` lists them or not; so is everything `proxy-*`. */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
]);

/** Frameworks obey these before method and path, CGI and WSGI with underscores as well; removed where a rule judges either. */
const OVERRIDES: ReadonlySet<string> = new Set([
  'x-http-method-override',
  'x-http-method',
  'x-method-override',
  'x-original-url',
  'x-rewrite-url',
]);

/**
 * RFC 9110 section 7.6.1: a connection option that names one of these would unframe or unroute the message, or
 * take away the credential that the proxy is about to put in.
 */
const NEVER_NOMINATED: ReadonlySet<string> = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'authorization',
]);

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
/** A message with more options than this is no honest one. */
const MAX_CONNECTION_OPTIONS = 32;

/** @param name lower-case field name */
export function isHopByHop(name: string): boolean {
  return HOP_BY_HOP.has(name) || name.startsWith('proxy-');
}

/** @param name lower-case field name */
export function isOverride(name: string): boolean {
  return OVERRIDES.has(name.replaceAll('_', '-'));
}

export type ConnectionOptions = {
  readonly close: boolean;
  readonly keepAlive: boolean;
  readonly upgrade: boolean;
  /** lower-case names of fields to remove beside the fixed ones */
  readonly nominated: readonly string[];
};

export const NO_OPTIONS: ConnectionOptions = {
  close: false,
  keepAlive: false,
  upgrade: false,
  nominated: [],
};

/** What nearly every message says, spelled as nearly every program spells it. */
const USUAL: ReadonlyMap<string, ConnectionOptions> = new Map([
  ['keep-alive', { ...NO_OPTIONS, keepAlive: true }],
  ['Keep-Alive', { ...NO_OPTIONS, keepAlive: true }],
  ['close', { ...NO_OPTIONS, close: true }],
]);

/**
 * @param value all `Connection` values of a message, joined by commas
 * @returns null where the list is malformed or names a field that frames or routes the message
 */
export function parseConnection(value: string): ConnectionOptions | null {
  const usual = USUAL.get(value);
  if (usual !== undefined) return usual;
  const options = value.toLowerCase().split(',');
  if (options.length > MAX_CONNECTION_OPTIONS) return null;
  const seen = new Set<string>();
  for (const raw of options) {
    const option = trimOws(raw);
    // RFC 9110 section 5.6.1.2: empty list elements are ignored.
    if (option === '') continue;
    if (!TOKEN.test(option) || NEVER_NOMINATED.has(option)) return null;
    seen.add(option);
  }
  const nominated = [...seen].filter((option) => option !== 'close' && !isHopByHop(option));
  return {
    close: seen.has('close'),
    keepAlive: seen.has('keep-alive'),
    upgrade: seen.has('upgrade'),
    nominated,
  };
}

/** Removes spaces and tabs at both ends; `String.trim` would also take NBSP, which is a value byte. */
export function trimOws(text: string): string {
  let from = 0;
  let to = text.length;
  while (from < to && isOws(text.charCodeAt(from))) from++;
  while (to > from && isOws(text.charCodeAt(to - 1))) to--;
  return from === 0 && to === text.length ? text : text.slice(from, to);
}

function isOws(code: number): boolean {
  return code === 0x20 || code === 0x09;
}
