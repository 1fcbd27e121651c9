/**
 * Where real values come from: the one type that every kind of source implements, so that `keyring.ts`
 * need not know them (contract section 3, `from`). A contract test runs the same cases against each.
 */
import type { SourceRef } from '../policy/model.ts';
import type { RevokedDigest } from '../secrets/revoked.ts';
import { SecretValue } from '../secrets/value.ts';

export type SecretSource = {
  /** what stands before the colon of `from` */
  readonly kind: string;
  /** `name` is what stands after the colon. Throws SecretSourceError. */
  get(name: string): Promise<SecretValue>;
  /** Calls back after a value may have changed, until the returned function is called. Never throws. */
  watch?(onChange: () => void): () => void;
  /** What its names mean, before they are asked for: all of its kind that policies hold. */
  learn?(refs: readonly SourceRef[]): void;
  /** Names of all values it holds, those that no policy mentions too: none of them may leave a sandbox. */
  names?(): Promise<readonly string[]>;
  /** Values that were once valid. */
  revoked?(): Promise<readonly RevokedDigest[]>;
  /** When the value was last changed, milliseconds since the epoch, if the source knows. */
  changedAt?(name: string): number | null;
  /** Told when a value was put into a request; `at`: milliseconds since the epoch. */
  used?(name: string, at: number): void;
  /** It keeps what it fetched (`cached.ts`): counts its own fetches, and tells by `watch` of an answer that came late. */
  readonly cached?: CachedValues;
  /** Stops what is under way, and wipes. */
  close?(): void;
};

export type CachedValues = {
  /** All names in use: what is held for others is wiped. */
  keep(names: readonly string[]): void;
  /** These values seem outdated: fetches them again, though not more often than the source bears. */
  refreshSoon(names: readonly string[]): void;
  /** Fetches these again, else all: an operator asked, or what they are made with changed. */
  reread(names?: readonly string[]): void;
};

export type SecretSourceCode =
  | 'not_found'
  | 'empty'
  | 'too_large'
  | 'bad_name'
  | 'unreadable'
  /** the source answered that we may not have it */
  | 'denied'
  | 'timeout'
  /** the vault has a passphrase and none was given, or its key file is missing */
  | 'locked'
  | 'wrong_key'
  | 'damaged'
  /** an older state of the vault was put in place of a newer one */
  | 'rolled_back'
  | 'insecure_permissions'
  /** another process holds the write lock */
  | 'busy'
  | 'full';

/** Its message may be shown and logged: it names a key or a file, never a value. */
export class SecretSourceError extends Error {
  override readonly name = 'SecretSourceError';
  readonly code: SecretSourceCode;

  constructor(code: SecretSourceCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Longest value that any source hands out, bytes. */
export const MAX_VALUE_BYTES = 65_536;

/** Makes the value, or refuses what is empty or too long. Wipes `bytes`. */
export function valueFrom(name: string, bytes: Buffer): SecretValue {
  try {
    if (bytes.length === 0) throw new SecretSourceError('empty', `${name} is empty`);
    if (bytes.length > MAX_VALUE_BYTES) {
      throw new SecretSourceError('too_large', `${name} is longer than ${MAX_VALUE_BYTES} bytes`);
    }
    return new SecretValue(name, bytes);
  } finally {
    bytes.fill(0);
  }
}
