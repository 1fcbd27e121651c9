/**
 * The interception CA: `certs/ca.pem` and `certs/ca.key`. Created when both are missing, never replaced;
 * anything else that is not a sound pair stops the start with a text that names the fix. An operator's
 * own CA (RSA or EC, self-signed or an intermediate with its chain) is used as it stands.
 * Called by the composition root and by `init`, `start` and `ca`; `leaf.ts` signs with it.
 */
import {
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
  X509Certificate,
} from 'node:crypto';
import { join } from 'node:path';
import { AuthorityError } from './authority-error.ts';
import { type AuthorityFile, createPair, readAuthorityFile, readKeyFile } from './authority-files.ts';
import {
  buildCaCertificate,
  encodeName,
  keyIdOf,
  pemOf,
  readCaCertificate,
  type Signature,
} from './certificate.ts';
import * as der from './der.ts';

export type CertificateAuthority = {
  /** the CA certificate and, for an intermediate, its chain as the file holds it; never anything else of the file */
  readonly certPem: string;
  readonly cert: X509Certificate;
  readonly sign: (tbs: Buffer) => Buffer;
  /** complete AlgorithmIdentifier that `sign` belongs to */
  readonly signatureAlgorithm: Buffer;
  /** the subject Name as it stands in the certificate, byte for byte */
  readonly subjectDer: Buffer;
  readonly keyId: Buffer;
  /** what a server sends after the leaf: empty for a self-signed CA, which clients hold already */
  readonly chainPem: string;
};

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** container clocks run behind their host's */
const BACKDATE_MS = HOUR_MS;
const CA_LIFETIME_MS = 5 * 365 * DAY_MS;
const MIN_RSA_BITS = 2048;

/**
 * Reads the CA of `dir`, or makes one when neither file is there. `now` is milliseconds since the epoch,
 * `organization` the O of a new CA. Throws AuthorityError, with the fix in its message.
 */
export function loadOrCreateAuthority(opts: { dir: string; now: number; organization?: string }): {
  authority: CertificateAuthority;
  created: boolean;
} {
  const { files, created } = pairOrNew({ ...opts, paths: authorityPaths(opts.dir) });
  return { authority: openAuthority(authorityPaths(opts.dir), files, opts.now), created };
}

/** The two files at `paths` as they are, or, where neither is there, a new CA put there. Throws AuthorityError. */
export function pairOrNew(opts: { paths: AuthorityPaths; dir: string; now: number; organization?: string }): {
  files: AuthorityFile;
  created: boolean;
} {
  const { paths, dir, now, organization = 'Sallyport' } = opts;
  const cert = readAuthorityFile(paths.cert);
  const key = readKeyFile(paths.key);
  if (cert === undefined && key === undefined) {
    const files = makeAuthority(now, organization);
    createPair({ ...paths, dir }, files);
    return { files, created: true };
  }
  if (key === undefined) throw missing('missing_key', paths.key, paths.cert);
  if (cert === undefined) throw missing('missing_cert', paths.cert, paths.key);
  return { files: { cert, key }, created: false };
}

export type AuthorityPaths = { readonly cert: string; readonly key: string };

/** Where the CA's two files are, absolute or relative as `dir` is. */
export function authorityPaths(dir: string): AuthorityPaths {
  return { cert: join(dir, 'ca.pem'), key: join(dir, 'ca.key') };
}

/** The certificates of a PEM text, first the CA's own; throws AuthorityError where there is none or a bad one. */
export function readCertificates(path: string, pem: string): [X509Certificate, ...X509Certificate[]] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  try {
    const [first, ...rest] = blocks.map((block) => new X509Certificate(block));
    if (first !== undefined) return [first, ...rest];
  } catch (cause) {
    throw new AuthorityError('malformed', `${path} holds a certificate that cannot be read`, {
      fix: 'put the PEM text of the CA certificate there',
      cause,
    });
  }
  throw new AuthorityError('malformed', `${path} holds no certificate`, {
    fix: 'put the PEM text of the CA certificate there',
  });
}

function missing(code: 'missing_key' | 'missing_cert', absent: string, present: string): AuthorityError {
  return new AuthorityError(code, `${absent} is missing, but ${present} is there`, {
    fix: `restore ${absent} from a backup, or move ${present} away so that a new CA is made (every sandbox must then trust the new one)`,
  });
}

/** Judges a pair: key and certificate belong together, it is a CA, and valid at `now`. Throws AuthorityError. */
export function openAuthority(
  paths: AuthorityPaths,
  files: AuthorityFile,
  now: number,
): CertificateAuthority {
  const certs = readCertificates(paths.cert, files.cert);
  const [cert] = certs;
  const key = readPrivateKey(paths.key, files.key);
  checkCertificate(paths.cert, cert, now);
  if (!cert.checkPrivateKey(key)) {
    throw new AuthorityError('mismatch', `${paths.key} is not the key of ${paths.cert}`, {
      fix: 'put back the two files that belong together',
    });
  }
  const signature = signatureFor(paths.key, key);
  const own = readCaCertificate(cert.raw);
  const certPem = certs.map((one) => pemOf(one.raw)).join('');
  return {
    certPem,
    cert,
    sign: signature.sign,
    signatureAlgorithm: signature.algorithm,
    subjectDer: own.subject,
    // A leaf's AKI must equal the CA's SKI where it has one, however that was computed (RFC 5280, 4.2.1.1).
    keyId: own.subjectKeyId ?? keyIdOf(cert.publicKey.export({ type: 'spki', format: 'der' })),
    chainPem: cert.checkIssued(cert) ? '' : certPem,
  };
}

function checkCertificate(path: string, cert: X509Certificate, now: number): void {
  // `ca` is OpenSSL's own judgement: version 3, basicConstraints CA:TRUE, keyUsage that allows signing.
  if (!cert.ca) {
    throw new AuthorityError('not_a_ca', `${path} is not a CA certificate`, {
      fix: 'it needs basicConstraints CA:TRUE and, where keyUsage is given, keyCertSign',
    });
  }
  if (now >= cert.validToDate.getTime()) {
    throw new AuthorityError('expired', `${path} expired at ${cert.validToDate.toISOString()}`, {
      fix: 'renew it, or move both files away so that a new CA is made (every sandbox must then trust the new one)',
    });
  }
  if (now < cert.validFromDate.getTime()) {
    throw new AuthorityError('not_yet_valid', `${path} is valid from ${cert.validFromDate.toISOString()}`, {
      fix: "set this machine's clock, or wait until then",
    });
  }
}

function readPrivateKey(path: string, pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (cause) {
    // The cause is OpenSSL's word on the format; it does not quote the key.
    throw new AuthorityError('malformed', `${path} holds no private key that can be read`, {
      fix: 'put an unencrypted PEM private key there (PKCS #8, SEC 1 or PKCS #1), mode 0600',
      cause,
    });
  }
}

/** AlgorithmIdentifier and hash by RFC 5758 (ECDSA, no parameters) and RFC 4055 (RSA, NULL). */
function signatureFor(path: string, key: KeyObject): Signature {
  const details = key.asymmetricKeyDetails;
  if (key.asymmetricKeyType === 'rsa') {
    const size = details?.modulusLength ?? 0;
    if (size < MIN_RSA_BITS) throw unsupported(path, `an RSA key of ${size} bits`);
    return signatureOf(key, 'sha256', der.sequence(der.oid('1.2.840.113549.1.1.11'), der.nothing()));
  }
  if (key.asymmetricKeyType !== 'ec') throw unsupported(path, `a key of type ${key.asymmetricKeyType}`);
  const curve = details?.namedCurve ?? 'unknown';
  switch (curve) {
    case 'prime256v1':
      return signatureOf(key, 'sha256', der.sequence(der.oid('1.2.840.10045.4.3.2')));
    case 'secp384r1':
      return signatureOf(key, 'sha384', der.sequence(der.oid('1.2.840.10045.4.3.3')));
    case 'secp521r1':
      return signatureOf(key, 'sha512', der.sequence(der.oid('1.2.840.10045.4.3.4')));
    default:
      throw unsupported(path, `an EC key on curve ${curve}`);
  }
}

function signatureOf(key: KeyObject, hash: string, algorithm: der.Der): Signature {
  return { algorithm: der.encode(algorithm), sign: (tbs) => sign(hash, tbs, key) };
}

function unsupported(path: string, what: string): AuthorityError {
  return new AuthorityError('unsupported_key', `${path} holds ${what}`, {
    fix: `use RSA of ${MIN_RSA_BITS} bits or more, or EC on P-256, P-384 or P-521: all clients verify those`,
  });
}

/** A fresh P-256 CA. The install id in its name keeps two installs apart in a trust store. */
function makeAuthority(now: number, organization: string): AuthorityFile {
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const key = pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const raw = buildCaCertificate({
    subject: encodeName({ organization, commonName: `${organization} CA ${randomBytes(4).toString('hex')}` }),
    publicKey: pair.publicKey.export({ type: 'spki', format: 'der' }),
    notBefore: now - BACKDATE_MS,
    notAfter: now + CA_LIFETIME_MS,
    signature: signatureFor('the new CA', pair.privateKey),
  });
  return { cert: pemOf(raw), key };
}
