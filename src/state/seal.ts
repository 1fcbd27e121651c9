/**
 * Signs what replicas leave for each other where others may write as well: an HMAC under a key that all replicas
 * have and Redis never sees. What carries no such signature counts as not there. Pure but for the hash.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';

const MAC_CHARS = 43;

/** `kind`: what it is, so that one entry cannot stand in for another. */
export function seal(key: Buffer, kind: string, value: unknown): string {
  const text = JSON.stringify(value);
  return macOf(key, kind, text) + text;
}

/** The value as JSON gives it; null: not one of ours. */
export function unseal(key: Buffer, kind: string, sealed: string): unknown {
  const text = sealed.slice(MAC_CHARS);
  const given = Buffer.from(sealed.slice(0, MAC_CHARS), 'latin1');
  const right = Buffer.from(macOf(key, kind, text), 'latin1');
  if (given.length !== right.length || !timingSafeEqual(given, right)) return null;
  const value: unknown = JSON.parse(text);
  return value;
}

function macOf(key: Buffer, kind: string, text: string): string {
  return createHmac('sha256', key).update(`${kind}\0${text}`).digest('base64url');
}
