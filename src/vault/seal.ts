/**
 * The cryptography of the built-in vault (threat 3.7): AES-256-GCM for values, HMAC-SHA-256 over the whole
 * file, HKDF for one key per purpose, Argon2id for passphrases. Called by `document.ts` and `master.ts`.
 */
import {
  argon2Sync,
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

export type PassphraseKdf =
  | {
      readonly kind: 'argon2id';
      /** KiB */
      readonly memory: number;
      readonly passes: number;
      readonly lanes: number;
      readonly salt: string;
    }
  /** of vaults from before Argon2id; a new one never has it */
  | {
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

/** Most memory that a file may make a passphrase cost; also bounds what a forged file can cost. */
export const MAX_KDF_BYTES = 268_435_456;

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

/** RFC 9106 section 4, the second recommended option: 64 MiB and about a quarter of a second. */
export function newPassphraseKdf(): PassphraseKdf {
  const salt = randomBytes(SALT_BYTES).toString('base64url');
  return { kind: 'argon2id', memory: 65_536, passes: 3, lanes: 4, salt };
}

/** 32 bytes. Blocks for as long as it takes: the caller remembers the result. */
export function masterFromPassphrase(passphrase: string, kdf: PassphraseKdf): Buffer {
  const message = Buffer.from(passphrase.normalize('NFKC'), 'utf8');
  const salt = Buffer.from(kdf.salt, 'base64url');
  try {
    if (kdf.kind === 'scrypt') {
      const { n: N, r, p } = kdf;
      return scryptSync(message, salt, KEY_BYTES, { N, r, p, maxmem: MAX_KDF_BYTES * 2 });
    }
    const { memory, passes, lanes: parallelism } = kdf;
    return argon2Sync('argon2id', {
      message,
      nonce: salt,
      parallelism,
      tagLength: KEY_BYTES,
      memory,
      passes,
    });
  } finally {
    message.fill(0);
  }
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
