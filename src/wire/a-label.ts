/**
 * Is a DNS label that starts with `xn--` a real A-label (RFC 5890 section 2.3.2.1)? Called by
 * `authority.ts` for such labels only. A label that decodes to nothing, to plain ASCII, or to text
 * that IDNA would have mapped to something else is refused: two spellings must not mean one name.
 */

// RFC 3492 section 5: the Punycode parameters.
const BASE = 36;
const TMIN = 1;
const TMAX = 26;
const SKEW = 38;
const DAMP = 700;
const INITIAL_BIAS = 72;
const INITIAL_N = 0x80;
const MAX_CODE_POINT = 0x10_ffff;

/** @param label lower-case, letters, digits, hyphen and underscore, 1 to 63 characters */
export function isALabel(label: string): boolean {
  if (!label.startsWith('xn--')) return true;
  const text = decodePunycode(label.slice(4));
  if (text === null) return false;
  // IDNA refuses what is not stable under case folding and compatibility mapping (RFC 5892 section 2.2).
  return text.normalize('NFKC').toLowerCase() === text;
}

/** RFC 3492 section 6.2, refusing overflow, surrogates and labels without any non-ASCII character. */
function decodePunycode(input: string): string | null {
  const delimiter = input.lastIndexOf('-');
  const output = Array.from(input.slice(0, Math.max(delimiter, 0)), (c) => c.charCodeAt(0));
  let at = delimiter < 0 ? 0 : delimiter + 1;
  // An encoder writes no delimiter where there is nothing before it: `xn---x` would be a second spelling.
  if (delimiter === 0 || at >= input.length) return null;
  let n = INITIAL_N;
  let i = 0;
  let bias = INITIAL_BIAS;
  while (at < input.length) {
    const read = readDelta(input, at, bias);
    if (read === null) return null;
    at = read.next;
    i += read.delta;
    const length = output.length + 1;
    bias = adapt(read.delta, length, output.length === Math.max(delimiter, 0));
    n += Math.floor(i / length);
    i %= length;
    if (n > MAX_CODE_POINT || (n >= 0xd800 && n <= 0xdfff)) return null;
    output.splice(i, 0, n);
    i++;
  }
  return String.fromCodePoint(...output);
}

/** One generalised variable-length integer. */
function readDelta(input: string, from: number, bias: number): { delta: number; next: number } | null {
  let delta = 0;
  let weight = 1;
  for (let at = from, k = BASE; at < input.length; at++, k += BASE) {
    const digit = digitOf(input.charCodeAt(at));
    if (digit < 0) return null;
    delta += digit * weight;
    // 63 characters stay far below 2^53 only while this cap holds.
    if (delta > 0x7fff_ffff) return null;
    const threshold = Math.min(Math.max(k - bias, TMIN), TMAX);
    if (digit < threshold) return { delta, next: at + 1 };
    weight *= BASE - threshold;
  }
  return null;
}

function digitOf(code: number): number {
  if (code >= 0x61 && code <= 0x7a) return code - 0x61;
  if (code >= 0x30 && code <= 0x39) return code - 0x30 + 26;
  return -1;
}

function adapt(delta: number, length: number, first: boolean): number {
  let rest = Math.floor(delta / (first ? DAMP : 2));
  rest += Math.floor(rest / length);
  let k = 0;
  while (rest > ((BASE - TMIN) * TMAX) / 2) {
    rest = Math.floor(rest / (BASE - TMIN));
    k += BASE;
  }
  return k + Math.floor(((BASE - TMIN + 1) * rest) / (rest + SKEW));
}
