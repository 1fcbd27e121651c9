/**
 * Values that went out of use while this process ran, remembered by digest so that a sandbox that got hold
 * of one is still noticed. The key of the digests is made here and dies with the process. Used by `gone.ts`.
 */
import { createHmac, randomBytes } from 'node:crypto';
import { type RevokedDigest, tailSum } from '../secrets/revoked.ts';
import type { SecretValue } from '../secrets/value.ts';
import { sameBytes } from './seal.ts';

/** The oldest are forgotten first. */
const MAX_RETIRED = 1024;

export type Retired = {
  /** Remembers the values and wipes them. */
  add(gone: readonly SecretValue[]): void;
  list(): readonly RevokedDigest[];
};

export function createRetired(): Retired {
  const key = randomBytes(32);
  const digest = (bytes: Buffer): Buffer => createHmac('sha256', key).update(bytes).digest();
  let digests: readonly RevokedDigest[] = [];
  const digestOf = (value: SecretValue): RevokedDigest => {
    const expected = digest(value.expose());
    return {
      length: value.length,
      tail: tailSum(value.expose()),
      matches: (candidate) => sameBytes(digest(candidate), expected),
    };
  };
  return {
    add: (gone) => {
      digests = [...digests, ...gone.map(digestOf)].slice(-MAX_RETIRED);
      for (const value of gone) value.zero();
    },
    list: () => digests,
  };
}
