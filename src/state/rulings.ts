/**
 * Where decisions of people are kept that hold for a while: a yes that covers what is the same, a no that need not be
 * said twice. `rulings-file.ts` keeps them in the state folder, for all processes of this machine. The duties:
 *
 * - `told` is called exactly once, during the call or later; `find` never fails: what cannot be read is not found.
 * - What `put` was told to have kept outlives a restart; with an error nothing of it may be found.
 * - Time is the wall clock: a yes ends when people think it does, whatever was restarted meanwhile.
 * - There is a cap; beyond it nothing new is kept.
 */
export type Ruling = {
  readonly decision: 'allow' | 'deny';
  /** what it covers: 64 hex digits */
  readonly key: string;
  /** of the held entry */
  readonly id: string;
  readonly group: string;
  /** text of the rule */
  readonly rule: string;
  /** for people: method, host and path without query values */
  readonly what: string;
  readonly by: string;
  /** a deny's words for the agent */
  readonly reason: string | null;
  /** a one-time code was given */
  readonly verified: boolean;
  /** milliseconds since the epoch */
  readonly at: number;
  /** it covers what has its key until then; `at` where it covers nothing; milliseconds since the epoch */
  readonly until: number;
  /** nothing else of its rule can be allowed before; milliseconds since the epoch */
  readonly coolUntil: number;
};

/** A yes that was taken back before its end. */
export type Forgotten = {
  /** of the ruling */
  readonly id: string;
  /** when it would have ended; milliseconds since the epoch */
  readonly until: number;
};

/** All that is kept. */
export type Kept = { readonly rulings: readonly Ruling[]; readonly forgotten: readonly Forgotten[] };

export type Found = {
  /** the last ruling with this key that has not ended; null: none */
  readonly ruling: Ruling | null;
  /** nothing of the rule can be allowed before; 0: at once; milliseconds since the epoch */
  readonly coolUntil: number;
};

export type Rulings = {
  find(
    of: { readonly key: string; readonly group: string; readonly rule: string },
    told: (found: Found) => void,
  ): void;
  put(ruling: Ruling, told: (failed: Error | null) => void): void;
  /** those that still cover something, the newest last */
  list(told: (rulings: readonly Ruling[]) => void): void;
  /** Takes one back. `told`: was there one with this id. */
  forget(id: string, told: (done: boolean) => void): void;
};
