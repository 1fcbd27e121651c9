/**
 * What replicas leave for each other where others may read and write as well: encrypted and authenticated (AES-256-GCM)
 * under a key that all replicas have and Redis never sees. What does not open counts as not there.
 */
import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto';

const ALGORITHM = 'aes-256-gcm';
const IV_BYTES = 12;
const TAG_BYTES = 16;

/** `kind`: what it is and where it stands, so that one entry cannot stand in for another. `key`: 32 bytes. */
export function seal(key: Buffer, kind: string, value: unknown): string {
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv(ALGORITHM, key, iv).setAAD(Buffer.from(kind));
  const text = Buffer.concat([cipher.update(JSON.stringify(value), 'utf8'), cipher.final()]);
  return Buffer.concat([iv, cipher.getAuthTag(), text]).toString('base64url');
}

/** The value as JSON gives it; null: not one of ours. Never throws. */
export function unseal(key: Buffer, kind: string, sealed: string): unknown {
  const bytes = Buffer.from(sealed, 'base64url');
  if (bytes.length < IV_BYTES + TAG_BYTES) return null;
  try {
    const decipher = createDecipheriv(ALGORITHM, key, bytes.subarray(0, IV_BYTES), {
      authTagLength: TAG_BYTES,
    });
    decipher.setAAD(Buffer.from(kind)).setAuthTag(bytes.subarray(IV_BYTES, IV_BYTES + TAG_BYTES));
    const text = Buffer.concat([decipher.update(bytes.subarray(IV_BYTES + TAG_BYTES)), decipher.final()]);
    const value: unknown = JSON.parse(text.toString('utf8'));
    return value;
  } catch {
    return null; // whoever wrote it has not the key, or wrote it for another place
  }
}

/** A name that only those who have the key can make, and that says nothing of what it stands for: 64 hex digits. */
export function markOf(key: Buffer, what: string): string {
  return createHmac('sha256', key).update(what).digest('hex');
}
