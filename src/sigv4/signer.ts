/**
 * Signing keys and signatures. The key of one day, region and service is derived by `@smithy/signature-v4`, over hashes
 * of `node:crypto`; every text under it (request, chunk, trailer) is one HMAC. Used by `resign.ts` and `chunks.ts`.
 */
import { createHash, createHmac, type Hash, type Hmac, timingSafeEqual } from 'node:crypto';
import { clearCredentialCache, getSigningKey } from '@smithy/signature-v4';
import type { Hash as SmithyHash, SourceData } from '@smithy/types';
import type { Scope } from './canonical.ts';

export type Signer = {
  /** `text` is latin-1; the signature in hex */
  sign(text: string): string;
  /** Compares in constant time. */
  verifies(text: string, signature: string): boolean;
  /** wipes the key */
  drop(): void;
};

export type Credentials = { readonly accessKeyId: string; readonly secretAccessKey: string };

/** SHA-256 in hex; of latin-1 text. */
export function sha256(data: string | Buffer): string {
  const hash = createHash('sha256');
  return (typeof data === 'string' ? hash.update(data, 'latin1') : hash.update(data)).digest('hex');
}

export const EMPTY_SHA256 = sha256('');

export async function signerFor(credentials: Credentials, scope: Scope): Promise<Signer> {
  const { date, region, service } = scope;
  const derived = await getSigningKey(NodeSha256, credentials, date, region, service);
  // The library keeps what it derived for as long as the process lives: keys would outlive their rotation.
  clearCredentialCache();
  const key = Buffer.from(derived);
  const sign = (text: string): Buffer => createHmac('sha256', key).update(text, 'latin1').digest();
  return {
    sign: (text) => sign(text).toString('hex'),
    verifies: (text, signature) => {
      const claimed = Buffer.from(signature, 'hex');
      const expected = sign(text);
      return claimed.length === expected.length && timingSafeEqual(claimed, expected);
    },
    // The library's own copy is not wiped: until its cache was emptied another request may have been given the same.
    drop: () => {
      key.fill(0);
    },
  };
}

/** SHA-256, or HMAC where there is a secret, as the library wants it. */
class NodeSha256 implements SmithyHash {
  readonly #hash: Hash | Hmac;

  constructor(secret?: SourceData) {
    this.#hash = secret === undefined ? createHash('sha256') : createHmac('sha256', bytesOf(secret));
  }

  update(data: SourceData): void {
    this.#hash.update(bytesOf(data));
  }

  digest(): Promise<Uint8Array> {
    return Promise.resolve(new Uint8Array(this.#hash.digest()));
  }
}

/** Key ids and scopes are ASCII, and so are the secrets of AWS; others' are UTF-8 as SDKs write them. */
function bytesOf(data: SourceData): Buffer {
  if (typeof data === 'string') return Buffer.from(data, 'utf8');
  return ArrayBuffer.isView(data)
    ? Buffer.from(data.buffer, data.byteOffset, data.byteLength)
    : Buffer.from(data);
}
