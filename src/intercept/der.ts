/**
 * DER, the little of it that certificates need. Writing goes through node-forge's `asn1` encoder;
 * reading is a TLV slicer for bytes that `crypto.X509Certificate` has already accepted (forge's own
 * parsers are never used: its CVEs sit there). Called by `certificate.ts` and `authority.ts`.
 */
import forge from 'node-forge';

const { asn1 } = forge;
const { Class, Type } = asn1;

export type Der = forge.asn1.Asn1;

export function sequence(...items: Der[]): Der {
  return asn1.create(Class.UNIVERSAL, Type.SEQUENCE, true, items);
}

export function set(...items: Der[]): Der {
  return asn1.create(Class.UNIVERSAL, Type.SET, true, items);
}

/** `[tag] EXPLICIT`, holding one value. */
export function explicit(tag: number, item: Der): Der {
  return asn1.create(Class.CONTEXT_SPECIFIC, tag, true, [item]);
}

/** `[tag] IMPLICIT` over bytes. */
export function implicit(tag: number, bytes: Buffer): Der {
  return asn1.create(Class.CONTEXT_SPECIFIC, tag, false, bytes.toString('latin1'));
}

export function oid(dotted: string): Der {
  return asn1.create(Class.UNIVERSAL, Type.OID, false, asn1.oidToDer(dotted).getBytes());
}

/** INTEGER from big-endian two's complement bytes. */
export function integer(bytes: Buffer): Der {
  return asn1.create(Class.UNIVERSAL, Type.INTEGER, false, bytes.toString('latin1'));
}

/** BOOLEAN TRUE; DER never writes a default FALSE. */
export function yes(): Der {
  return asn1.create(Class.UNIVERSAL, Type.BOOLEAN, false, '\xff');
}

export function nothing(): Der {
  return asn1.create(Class.UNIVERSAL, Type.NULL, false, '');
}

export function utf8(text: string): Der {
  return asn1.create(Class.UNIVERSAL, Type.UTF8, false, Buffer.from(text, 'utf8').toString('latin1'));
}

export function octets(bytes: Buffer): Der {
  return asn1.create(Class.UNIVERSAL, Type.OCTETSTRING, false, bytes.toString('latin1'));
}

/** BIT STRING; `unused` is the number of unused bits in the last byte. */
export function bits(bytes: Buffer, unused = 0): Der {
  const value = String.fromCharCode(unused) + bytes.toString('latin1');
  return asn1.create(Class.UNIVERSAL, Type.BITSTRING, false, value);
}

/** `Time` of RFC 5280 section 4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050; milliseconds in. */
export function time(ms: number): Der {
  const at = new Date(ms);
  return at.getUTCFullYear() < 2050
    ? asn1.create(Class.UNIVERSAL, Type.UTCTIME, false, asn1.dateToUtcTime(at))
    : asn1.create(Class.UNIVERSAL, Type.GENERALIZEDTIME, false, asn1.dateToGeneralizedTime(at));
}

/** Puts one complete, already encoded SEQUENCE (a name, a key, a signed body) into the tree byte for byte. */
export function encoded(der: Buffer): Der {
  const outer = readTlv(der, 0);
  if (outer.tag !== SEQUENCE_TAG || outer.end !== der.length) throw new TypeError('not one DER SEQUENCE');
  const tag: number = outer.tag;
  return asn1.create(Class.UNIVERSAL, tag, false, der.toString('latin1', outer.start, outer.end));
}

export function encode(item: Der): Buffer {
  return Buffer.from(asn1.toDer(item).getBytes(), 'latin1');
}

const SEQUENCE_TAG = 0x30;
const LONG_FORM = 0x80;

/** One TLV of a DER encoding: `from` is its tag's offset, `start` to `end` its content. */
export type Tlv = {
  readonly tag: number;
  readonly from: number;
  readonly start: number;
  readonly end: number;
};

/** Reads the TLV at `at`; throws RangeError where tag, length or content runs out of `der`. */
export function readTlv(der: Buffer, at: number): Tlv {
  const tag = der.readUInt8(at);
  const first = der.readUInt8(at + 1);
  const width = first < LONG_FORM ? 0 : first - LONG_FORM;
  if (width > 3) throw new RangeError('DER length too long');
  const length = width === 0 ? first : der.readUIntBE(at + 2, width);
  const start = at + 2 + width;
  const end = start + length;
  if (end > der.length) throw new RangeError('DER value runs past the end');
  return { tag, from: at, start, end };
}

/** The TLVs inside a constructed one, in order. */
export function children(der: Buffer, of: Tlv): Tlv[] {
  const found: Tlv[] = [];
  for (let at = of.start; at < of.end; ) {
    const item = readTlv(der, at);
    if (item.end > of.end) throw new RangeError('DER value runs past its parent');
    found.push(item);
    at = item.end;
  }
  return found;
}
