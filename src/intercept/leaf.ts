/**
 * Server certificates for intercepted hosts, signed by our CA when a host is first seen and cached. One
 * P-256 key per process serves all of them; it lives in memory only. Asked by `terminate.ts`.
 * Each host has its own session id context and, by having its own SecureContext, its own ticket keys, so that
 * a session of one host cannot be resumed at another.
 */
import { createHash, generateKeyPairSync } from 'node:crypto';
import { isIP, isIPv4 } from 'node:net';
import { createSecureContext, DEFAULT_CIPHERS, type SecureContext } from 'node:tls';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../base/clock.ts';
import type { Authority } from '../flow/target.ts';
import type { CertificateAuthority } from './authority.ts';
import { AuthorityError } from './authority-error.ts';
import { buildLeafCertificate, keyIdOf, pemOf, type SubjectAltName } from './certificate.ts';

export type LeafMint = {
  /** TLS 1.2 or newer, leaf and chain for `at.host`; throws AuthorityError `expired` once the CA is */
  readonly contextFor: (at: Authority) => SecureContext;
  /** the same certificate (and chain) as PEM */
  readonly pemFor: (at: Authority) => string;
};

const HOUR_MS = 3_600_000;
const LEAF_LIFETIME_MS = 7 * 24 * HOUR_MS;
/** container clocks run behind their host's */
const BACKDATE_MS = HOUR_MS;
/** a certificate this near its end is made anew: longer than a handshake and a skewed clock need */
const RENEW_BEFORE_MS = 24 * HOUR_MS;
/** a sandbox can name unlimited hosts */
const MAX_LEAVES = 1000;
/** of a dNSName: RFC 1035 section 2.3.4, without the root's dot */
const MAX_NAME_BYTES = 253;
/**
 * Node's own list with another one first: processors compute SHA-256 by themselves, SHA-384 they do not, and a
 * handshake of TLS 1.3 hashes some thirty times.
 */
const FIRST_CIPHER = 'TLS_AES_128_GCM_SHA256';
const CIPHERS = [FIRST_CIPHER, ...DEFAULT_CIPHERS.split(':').filter((name) => name !== FIRST_CIPHER)].join(
  ':',
);

type Leaf = {
  readonly pem: string;
  readonly notBefore: number;
  readonly renewAt: number;
  context: SecureContext | undefined;
};

/** `max` caps the cache (default 1000 hosts); `onMint` is told of every certificate signed. */
export function createLeafMint(opts: {
  authority: CertificateAuthority;
  clock: Clock;
  max?: number;
  onMint?: () => void;
}): LeafMint {
  const { authority, clock } = opts;
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const keyPem = pair.privateKey.export({ type: 'pkcs8', format: 'pem' });
  const publicKey = pair.publicKey.export({ type: 'spki', format: 'der' });
  const keyId = keyIdOf(publicKey);
  const signature = { algorithm: authority.signatureAlgorithm, sign: authority.sign };
  const leaves = new LRUCache<string, Leaf>({ max: opts.max ?? MAX_LEAVES });

  function mint(at: Authority, now: number): Leaf {
    const validity = validityOf(authority, now);
    const raw = buildLeafCertificate({
      ...validity,
      name: at.host,
      altName: altNameOf(at),
      issuer: authority.subjectDer,
      issuerKeyId: authority.keyId,
      publicKey,
      keyId,
      signature,
    });
    opts.onMint?.();
    return {
      pem: pemOf(raw) + authority.chainPem,
      notBefore: validity.notBefore,
      renewAt: renewalOf(validity.notAfter, now),
      context: undefined,
    };
  }

  function leafFor(at: Authority): Leaf {
    const now = clock.now();
    const held = leaves.get(at.host);
    // The lower bound matters when the clock was set back: the held one would not be valid yet.
    if (held !== undefined && now >= held.notBefore && now < held.renewAt) return held;
    const fresh = mint(at, now);
    leaves.set(at.host, fresh);
    return fresh;
  }

  return {
    pemFor: (at) => leafFor(at).pem,
    contextFor: (at) => {
      const leaf = leafFor(at);
      leaf.context ??= openContext(leaf.pem, keyPem, at);
      return leaf.context;
    },
  };
}

function openContext(cert: string, key: string | Buffer, at: Authority): SecureContext {
  return createSecureContext({
    cert,
    key,
    minVersion: 'TLSv1.2',
    // The hop from the sandbox stays on the bridge: the classic groups first cost half of a hybrid handshake.
    ecdhCurve: 'X25519:P-256:P-384:X25519MLKEM768',
    ciphers: CIPHERS,
    honorCipherOrder: true,
    // An empty list: no client certificate is asked for, and with the system's roots loaded OpenSSL would look
    // through them for the leaf's issuer in every full handshake.
    ca: [],
    sessionIdContext: createHash('sha256').update(at.host).digest('hex').slice(0, 32),
  });
}

/** A leaf never starts before nor ends after its CA: strict clients check the whole chain at one moment. */
function validityOf(authority: CertificateAuthority, now: number): { notBefore: number; notAfter: number } {
  const caEnd = authority.cert.validToDate.getTime();
  if (now >= caEnd) {
    throw new AuthorityError('expired', `the interception CA expired at ${new Date(caEnd).toISOString()}`, {
      fix: 'renew it and start again',
    });
  }
  return {
    notBefore: Math.max(now - BACKDATE_MS, authority.cert.validFromDate.getTime()),
    notAfter: Math.min(now + LEAF_LIFETIME_MS, caEnd),
  };
}

/** A day before the end, or half-way where less than two days are left (a CA near its own end). */
function renewalOf(notAfter: number, now: number): number {
  return Math.max(notAfter - RENEW_BEFORE_MS, now + (notAfter - now) / 2);
}

function altNameOf(at: Authority): SubjectAltName {
  if (at.kind === 'name') {
    if (at.host.length > MAX_NAME_BYTES || isIP(at.host) !== 0) throw new RangeError('not a host name');
    return { kind: 'dns', bytes: Buffer.from(at.host, 'latin1') };
  }
  if (isIP(at.host) !== (at.kind === 'ipv4' ? 4 : 6)) throw new RangeError('not a canonical address');
  return { kind: 'ip', bytes: at.kind === 'ipv4' ? ipv4Bytes(at.host) : ipv6Bytes(at.host) };
}

function ipv4Bytes(text: string): Buffer {
  return Buffer.from(text.split('.').map(Number));
}

/** 16 bytes of an address that `isIP` has accepted; knows `::` and a dotted tail. */
function ipv6Bytes(text: string): Buffer {
  const groups = (part: string | undefined): number[] =>
    part === undefined || part === '' ? [] : part.split(':').flatMap(groupBytes);
  const [before, after] = text.split('::');
  const head = groups(before);
  const tail = groups(after);
  return Buffer.concat([Buffer.from(head), Buffer.alloc(16 - head.length - tail.length), Buffer.from(tail)]);
}

function groupBytes(group: string): number[] {
  if (isIPv4(group)) return [...ipv4Bytes(group)];
  const value = Number.parseInt(group, 16);
  return [value >> 8, value & 0xff];
}
