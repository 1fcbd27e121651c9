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
  /\r\n(?:accept-encoding|range|if-range|request-range|x-ms-range|a-im|available-dictionary|dictionary-id):/i;
const CODING_LINE = /\r\ncontent-encoding:([^\r\n]*)/gi;
const ACCEPT_LINE = /(\r\naccept-encoding:)([^\r\n]*)/gi;
/**
 * What asks for pieces of an answer, or for its difference to another: no key could be found there. RFC 9110
 * section 14.2, RFC 3229, RFC 9842; Azure's storage takes a range of its own before that.
 */
const PIECES_LINES =
  /\r\n(?:range|if-range|request-range|x-ms-range|a-im|available-dictionary|dictionary-id):[^\r\n]*/gi;

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

/** The head of a request whose answer is searched for keys: whole, and in a coding that can be undone. */
export function askForWhole(head: string): string {
  if (!ANY_ASK.test(head)) return head;
  const whole = head.replace(PIECES_LINES, '');
  return whole.replace(ACCEPT_LINE, (_, name: string, value: string) => {
    const kept = value.split(',').filter((one) => isReadable(one.split(';', 1)[0] ?? ''));
    return `${name} ${kept.length === 0 ? 'identity' : kept.map((one) => one.trim()).join(', ')}`;
  });
}

function isReadable(name: string): boolean {
  const lower = name.trim().toLowerCase();
  return lower === 'identity' || Object.hasOwn(KNOWN, lower);
}
