/**
 * The cryptography of the built-in vault (threat 3.7): AES-256-GCM for values, HMAC-SHA-256 over the whole
 * file, HKDF for one key per purpose, scrypt for passphrases. Called by `document.ts` and `sealed.ts`.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  hkdfSync,
  randomBytes,
  scryptSync,
  timingSafeEqual,
} from 'node:crypto';
import { SecretSourceError } from './source.ts';

export type VaultKeys = {
  /** seals values */
  readonly seal: Buffer;
  /** authenticates the file */
  readonly mac: Buffer;
  /** tells a wrong key from a damaged file */
  readonly check: string;
};

export type Sealed = { readonly nonce: string; readonly sealed: string };

export type ScryptParameters = {
  readonly kind: 'scrypt';
  readonly n: number;
  readonly r: number;
  readonly p: number;
  readonly salt: string;
};

export const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const SALT_BYTES = 16;

/** Most memory that a file may make scrypt use; also bounds what a forged file can cost. */
export const MAX_SCRYPT_BYTES = 268_435_456;

/** `master`: 32 bytes, from the key file or the passphrase; `id`: the vault's. */
export function deriveKeys(master: Buffer, id: string): VaultKeys {
  const derive = (use: string): Buffer =>
    Buffer.from(hkdfSync('sha256', master, Buffer.from(id, 'utf8'), `sallyport vault 1 ${use}`, KEY_BYTES));
  return {
    seal: derive('seal'),
    mac: derive('mac'),
    check: derive('check').subarray(0, 12).toString('base64url'),
  };
}

/** RFC 7914; 32 MiB and about a third of a second: N = 2^15, r = 8, p = 3 (OWASP's smallest advice). */
export function newScryptParameters(): ScryptParameters {
  return { kind: 'scrypt', n: 32_768, r: 8, p: 3, salt: randomBytes(SALT_BYTES).toString('base64url') };
}

export function masterFromPassphrase(passphrase: string, parameters: ScryptParameters): Buffer {
  const { n, r, p, salt } = parameters;
  return scryptSync(passphrase.normalize('NFKC'), Buffer.from(salt, 'base64url'), KEY_BYTES, {
    N: n,
    r,
    p,
    maxmem: MAX_SCRYPT_BYTES * 2,
  });
}

/** `about` is bound to the result: it opens only with the same. */
export function sealBytes(key: Buffer, about: readonly unknown[], bytes: Buffer): Sealed {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  cipher.setAAD(Buffer.from(JSON.stringify(about), 'utf8'));
  const sealed = Buffer.concat([cipher.update(bytes), cipher.final(), cipher.getAuthTag()]);
  return { nonce: nonce.toString('base64url'), sealed: sealed.toString('base64url') };
}

/** Throws SecretSourceError `damaged`. */
export function openSealed(key: Buffer, about: readonly unknown[], box: Sealed): Buffer {
  const nonce = Buffer.from(box.nonce, 'base64url');
  const sealed = Buffer.from(box.sealed, 'base64url');
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES });
    decipher.setAAD(Buffer.from(JSON.stringify(about), 'utf8'));
    decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
    return Buffer.concat([decipher.update(sealed.subarray(0, -TAG_BYTES)), decipher.final()]);
  } catch (cause) {
    throw new SecretSourceError('damaged', 'a sealed value of the vault does not open', { cause });
  }
}

export function hmac(key: Buffer, data: Buffer | string): Buffer {
  return createHmac('sha256', key).update(data).digest();
}

export function sameBytes(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}
