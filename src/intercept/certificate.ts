/**
 * X.509 v3 certificates as Sallyport writes them (RFC 5280): the CA's own and the leaves it signs. Only
 * encoding happens here; keys and signatures are node:crypto's. Which extensions and which of them
 * are critical follows what OpenSSL's strict mode, Python 3.13, Go, Java and browsers demand.
 * Called by `authority.ts` and `leaf.ts`.
 */
import { createHash, randomBytes } from 'node:crypto';
import * as der from './der.ts';

/** `ub-common-name` of RFC 5280 appendix A.1; longer names go without a CN */
export const MAX_COMMON_NAME = 64;
const SERIAL_BYTES = 16;

const OID = {
  commonName: '2.5.4.3',
  organization: '2.5.4.10',
  subjectKeyId: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  authorityKeyId: '2.5.29.35',
  extKeyUsage: '2.5.29.37',
  serverAuth: '1.3.6.1.5.5.7.3.1',
} as const;

/** keyUsage bits of RFC 5280 section 4.2.1.3, most significant first */
const DIGITAL_SIGNATURE = { byte: 0x80, unused: 7 };
const KEY_CERT_SIGN_AND_CRL_SIGN = { byte: 0x06, unused: 1 };

export type Signature = {
  /** complete AlgorithmIdentifier */
  readonly algorithm: Buffer;
  readonly sign: (tbs: Buffer) => Buffer;
};

type Validity = {
  /** milliseconds since the epoch */
  readonly notBefore: number;
  /** milliseconds since the epoch */
  readonly notAfter: number;
};

export type SubjectAltName = { readonly kind: 'dns' | 'ip'; readonly bytes: Buffer };

/** DER of a self-signed CA certificate: `CA:TRUE, pathlen:0`, may sign certificates and CRLs. */
export function buildCaCertificate(
  opts: Validity & { subject: Buffer; publicKey: Buffer; signature: Signature },
): Buffer {
  const keyId = keyIdOf(opts.publicKey);
  const extensions = [
    extension(OID.basicConstraints, true, der.sequence(der.yes(), der.integer(Buffer.of(0)))),
    keyUsage(KEY_CERT_SIGN_AND_CRL_SIGN),
    extension(OID.subjectKeyId, false, der.octets(keyId)),
    extension(OID.authorityKeyId, false, der.sequence(der.implicit(0, keyId))),
  ];
  return assemble({ ...opts, issuer: opts.subject, extensions });
}

/**
 * DER of a server certificate for one host. `name` is the text of its CN, left out (and the
 * subjectAltName made critical, RFC 5280 section 4.2.1.6) where it is too long for one.
 */
export function buildLeafCertificate(
  opts: Validity & {
    name: string;
    altName: SubjectAltName;
    issuer: Buffer;
    issuerKeyId: Buffer;
    publicKey: Buffer;
    /** of `publicKey`, from `keyIdOf` */
    keyId: Buffer;
    signature: Signature;
  },
): Buffer {
  const named = opts.name.length <= MAX_COMMON_NAME;
  const altTag = opts.altName.kind === 'dns' ? 2 : 7;
  const extensions = [
    extension(OID.basicConstraints, true, der.sequence()),
    keyUsage(DIGITAL_SIGNATURE),
    extension(OID.extKeyUsage, false, der.sequence(der.oid(OID.serverAuth))),
    extension(OID.subjectAltName, !named, der.sequence(der.implicit(altTag, opts.altName.bytes))),
    extension(OID.subjectKeyId, false, der.octets(opts.keyId)),
    extension(OID.authorityKeyId, false, der.sequence(der.implicit(0, opts.issuerKeyId))),
  ];
  return assemble({ ...opts, subject: encodeName(named ? { commonName: opts.name } : {}), extensions });
}

/** DER of an X.501 Name with an organization, a common name, both or nothing. */
export function encodeName(parts: { organization?: string; commonName?: string }): Buffer {
  const attribute = (type: string, value: string | undefined) =>
    value === undefined ? [] : [der.set(der.sequence(der.oid(type), der.utf8(value)))];
  return der.encode(
    der.sequence(
      ...attribute(OID.organization, parts.organization),
      ...attribute(OID.commonName, parts.commonName),
    ),
  );
}

/** Key identifier of RFC 5280 section 4.2.1.2, method 1: SHA-1 over the public key's bits. Not a security use. */
export function keyIdOf(publicKey: Buffer): Buffer {
  const [, key] = der.children(publicKey, der.readTlv(publicKey, 0));
  if (key === undefined) throw new TypeError('not a SubjectPublicKeyInfo');
  return createHash('sha1')
    .update(publicKey.subarray(key.start + 1, key.end)) // + 1: the count of unused bits, always 0
    .digest();
}

/** What a foreign CA certificate says of itself that `crypto.X509Certificate` does not hand out. */
export function readCaCertificate(raw: Buffer): { subject: Buffer; subjectKeyId: Buffer | undefined } {
  const [tbs] = der.children(raw, der.readTlv(raw, 0));
  if (tbs === undefined) throw new TypeError('not a certificate');
  const fields = der.children(raw, tbs).filter((field) => field.tag !== VERSION_TAG);
  const subject = fields[4]; // serial, signature, issuer, validity, subject (RFC 5280 section 4.1)
  if (subject === undefined) throw new TypeError('certificate without a subject');
  const holder = fields.find((field) => field.tag === EXTENSIONS_TAG);
  return {
    subject: Buffer.from(raw.subarray(subject.from, subject.end)),
    subjectKeyId: holder === undefined ? undefined : findSubjectKeyId(raw, holder),
  };
}

export function pemOf(certificate: Buffer): string {
  const lines = certificate.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

const VERSION_TAG = 0xa0;
const EXTENSIONS_TAG = 0xa3;

function findSubjectKeyId(raw: Buffer, holder: der.Tlv): Buffer | undefined {
  const wanted = der.encode(der.oid(OID.subjectKeyId));
  const extensions = der.children(raw, der.readTlv(raw, holder.start));
  for (const item of extensions) {
    const parts = der.children(raw, item);
    const id = parts[0];
    const value = parts.at(-1);
    if (id === undefined || value === undefined) continue;
    if (!raw.subarray(id.from, id.end).equals(wanted)) continue;
    const inner = der.readTlv(raw, value.start);
    return Buffer.from(raw.subarray(inner.start, inner.end));
  }
  return undefined;
}

type Parts = Validity & {
  readonly issuer: Buffer;
  readonly subject: Buffer;
  readonly publicKey: Buffer;
  readonly extensions: der.Der[];
  readonly signature: Signature;
};

function assemble(parts: Parts): Buffer {
  const tbs = der.encode(
    der.sequence(
      der.explicit(0, der.integer(Buffer.of(2))), // v3
      der.integer(randomSerial()),
      der.encoded(parts.signature.algorithm),
      der.encoded(parts.issuer),
      der.sequence(der.time(parts.notBefore), der.time(parts.notAfter)),
      der.encoded(parts.subject),
      der.encoded(parts.publicKey),
      der.explicit(3, der.sequence(...parts.extensions)),
    ),
  );
  return der.encode(
    der.sequence(
      der.encoded(tbs),
      der.encoded(parts.signature.algorithm),
      der.bits(parts.signature.sign(tbs)),
    ),
  );
}

function extension(id: string, critical: boolean, value: der.Der): der.Der {
  return der.sequence(der.oid(id), ...(critical ? [der.yes()] : []), der.octets(der.encode(value)));
}

function keyUsage(usage: { byte: number; unused: number }): der.Der {
  return extension(OID.keyUsage, true, der.bits(Buffer.of(usage.byte), usage.unused));
}

/** Positive, never zero, minimal in DER: the first byte is 0x40 to 0x7f. */
function randomSerial(): Buffer {
  const serial = randomBytes(SERIAL_BYTES);
  serial.writeUInt8((serial.readUInt8(0) & 0x3f) | 0x40, 0);
  return serial;
}
