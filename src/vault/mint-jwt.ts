/** Signs the short-lived assertions by which `mint-client.ts` and `mint-github.ts` prove who the proxy is, with jose. */
import { createPrivateKey, type KeyObject, randomUUID } from 'node:crypto';
import type { SecretValue } from '../secrets/value.ts';
import { SecretSourceError } from './source.ts';

export type Assertion = {
  readonly alg: string;
  readonly keyId?: string | null;
  readonly issuer: string;
  readonly subject?: string;
  readonly audience?: string;
  /** seconds since the epoch */
  readonly issuedAt: number;
  /** seconds since the epoch */
  readonly expiresAt: number;
};

/** `pem`: PKCS #1, PKCS #8 or SEC 1. Throws `damaged` for a key that is none, or none for `alg`. */
export async function signAssertion(pem: SecretValue, of: Assertion): Promise<string> {
  const key = keyFrom(pem);
  // Loaded at the first need, as the client that sends it.
  const { SignJWT } = await import('jose');
  const jwt = new SignJWT()
    .setProtectedHeader({
      alg: of.alg,
      typ: 'JWT',
      ...(of.keyId === undefined || of.keyId === null ? {} : { kid: of.keyId }),
    })
    .setIssuer(of.issuer)
    .setIssuedAt(of.issuedAt)
    .setExpirationTime(of.expiresAt)
    .setJti(randomUUID());
  if (of.subject !== undefined) jwt.setSubject(of.subject);
  if (of.audience !== undefined) jwt.setAudience(of.audience);
  try {
    return await jwt.sign(key);
  } catch {
    // What the library says is of key types, and less than this.
    throw new SecretSourceError('damaged', `${pem.name} is no key that signs ${of.alg}`);
  }
}

function keyFrom(pem: SecretValue): KeyObject {
  try {
    return createPrivateKey(pem.expose());
  } catch {
    // What OpenSSL says may tell of the bytes.
    throw new SecretSourceError('damaged', `${pem.name} is no private key without a passphrase, as PEM`);
  }
}
