/** What `mint.ts` hands to those who ask an authority, and what they bring back. */
import type { Clock } from '../base/clock.ts';
import type { SecretValue } from '../secrets/value.ts';
import type { Https } from './https.ts';

export type MintRequest = {
  /** what proves who we are; wiped by who gave it */
  readonly credential: SecretValue;
  readonly https: Https;
  readonly signal: AbortSignal;
  readonly clock: Clock;
};

export type Minted = {
  readonly token: string;
  /** `ms`; null: the authority does not say */
  readonly lifetimeMs: number | null;
};
