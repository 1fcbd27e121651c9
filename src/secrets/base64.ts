/**
 * A key inside base64 (RFC 4648 sections 4 and 5), where three bytes become four characters: which ones depends on how
 * many bytes stand before it, and the first and the last may hold bits of its neighbours. Used by `scrub.ts`.
 */
const SYMBOLS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
const STANDARD = `${SYMBOLS}+/`;
const URL_SAFE = `${SYMBOLS}-_`;
/** Fills a text up so that what follows it keeps its place. */
const FILLER = '.';

/** Value of a character of either alphabet, or -1. */
export function sextetOf(code: number): number {
  if (code >= 0x41 && code <= 0x5a) return code - 0x41;
  if (code >= 0x61 && code <= 0x7a) return code - 0x47;
  if (code >= 0x30 && code <= 0x39) return code + 4;
  if (code === 0x2b || code === 0x2d) return 62;
  return code === 0x2f || code === 0x5f ? 63 : -1;
}

/** A character of which only some bits are known. */
export type Edge = { readonly mask: number; readonly bits: number };

/** How many bytes, of three, stand before the key. */
export type Alignment = 0 | 1 | 2;
export const ALIGNMENTS: readonly Alignment[] = [0, 1, 2];

export type Spelt = { readonly lead: Edge | null; readonly codes: Buffer; readonly trail: Edge | null };

/** The characters of `bytes` in base64 behind `alignment` other bytes. */
export function spellBase64(bytes: Buffer, alignment: Alignment, urlSafe: boolean): Spelt {
  const encoded = Buffer.concat([Buffer.alloc(alignment), bytes, Buffer.alloc(2)]).toString(
    urlSafe ? 'base64url' : 'base64',
  );
  const firstBit = alignment * 8;
  const endBit = firstBit + bytes.length * 8;
  const from = Math.ceil(firstBit / 6);
  const to = Math.floor(endBit / 6);
  const leadBits = from * 6 - firstBit;
  const trailBits = endBit - to * 6;
  return {
    lead: leadBits === 0 ? null : edgeOf(encoded, from - 1, (1 << leadBits) - 1),
    codes: Buffer.from(encoded.slice(from, to), 'latin1'),
    trail: trailBits === 0 ? null : edgeOf(encoded, to, 0x3f & ~((1 << (6 - trailBits)) - 1)),
  };
}

/**
 * `text` in place of what was found: the neighbours' bits stay. Where it is not as long as the key, counted by threes,
 * it is filled up with dots, since all that follows would change otherwise.
 */
export function writeBase64(
  text: string,
  found: string,
  key: { length: number; alignment: Alignment },
): string {
  const fill = (key.length - text.length) % 3;
  const filled = text + FILLER.repeat(fill < 0 ? fill + 3 : fill);
  const urlSafe = /[-_]/.test(found);
  const { lead, codes, trail } = spellBase64(Buffer.from(filled, 'latin1'), key.alignment, urlSafe);
  const alphabet = urlSafe ? URL_SAFE : STANDARD;
  const first = lead === null ? '' : blend(alphabet, found.charCodeAt(0), lead);
  const last = trail === null ? '' : blend(alphabet, found.charCodeAt(found.length - 1), trail);
  return first + codes.toString('latin1') + last;
}

function edgeOf(encoded: string, at: number, mask: number): Edge {
  return { mask, bits: sextetOf(encoded.charCodeAt(at)) & mask };
}

function blend(alphabet: string, code: number, edge: Edge): string {
  return alphabet.charAt((sextetOf(code) & ~edge.mask) | edge.bits);
}
