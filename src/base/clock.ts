/** Time as an argument: shells take a Clock so that tests can hold it still. */
export type Clock = {
  /** milliseconds since the epoch, for records and expiry */
  readonly now: () => number;
  /** monotonic milliseconds, for durations and deadlines */
  readonly mono: () => number;
};

export const systemClock: Clock = { now: () => Date.now(), mono: () => performance.now() };
