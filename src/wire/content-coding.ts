/**
 * Content codings (RFC 9110 section 8.4): which one a message is in, and what a request may ask for where the answer
 * will be read here. Called by `intercept/` for hosts that keys are bound to.
 */

/** Codings that are undone here. */
export type Coding = 'gzip' | 'deflate' | 'br' | 'zstd';

const KNOWN: Readonly<Record<string, Coding>> = {
  gzip: 'gzip',
  'x-gzip': 'gzip',
  deflate: 'deflate',
  br: 'br',
  zstd: 'zstd',
};
/** Most heads hold none: looking for one costs a fraction of taking them out. */
const ANY_CODING = /\r\ncontent-encoding:/i;
const ANY_ASK =
  /\r\n(?:accept-encoding|(?:grpc|connect)-accept-encoding|range|if-range|request-range|x-ms-range|a-im|available-dictionary|dictionary-id):/i;
const CODING_LINE = /\r\ncontent-encoding:([^\r\n]*)/gi;
const ACCEPT_LINE = /(\r\naccept-encoding:)[^\r\n]*/gi;
/**
 * What asks for pieces of an answer, for its difference to another, or for messages in it that are compressed each by
 * itself: no key could be found there. RFC 9110 section 14.2, RFC 3229, RFC 9842; Azure's storage takes a range of its own
 * before that; gRPC and Connect.
 */
const PIECES_LINES =
  /\r\n(?:range|if-range|request-range|x-ms-range|a-im|available-dictionary|dictionary-id|(?:grpc|connect)-accept-encoding):[^\r\n]*/gi;
const MESSAGE_CODING =
  /\r\n(?:grpc-encoding|connect-content-encoding):[ \t]*(?!identity[ \t]*(?:\r\n|$))[^\r\n \t]/i;

/** `null`: in none; `unknown`: in one that is not undone here, or in several. @param text head, latin-1 */
export function codingOf(text: string): Coding | 'unknown' | null {
  if (!ANY_CODING.test(text)) return null;
  const names = Array.from(text.matchAll(CODING_LINE), ([, value = '']) => value.split(','))
    .flat()
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== '' && name !== 'identity');
  const [first] = names;
  if (first === undefined) return null;
  return names.length === 1 && Object.hasOwn(KNOWN, first) ? (KNOWN[first] ?? 'unknown') : 'unknown';
}

/** Are messages in the body compressed each by itself (gRPC, Connect). @param text head, latin-1 */
export function hidesMessages(text: string): boolean {
  return MESSAGE_CODING.test(text);
}

/**
 * The head of a request whose answer is searched for keys: whole and not compressed. What is decoded here comes in pieces
 * whose lengths tell how well a guess beside a key compresses.
 */
export function askForWhole(head: string): string {
  if (!ANY_ASK.test(head)) return head;
  return head.replace(PIECES_LINES, '').replace(ACCEPT_LINE, '$1 identity');
}
