/**
 * What the records of one connection have in common, already written. Kept by whoever makes its events
 * (`flow-record.ts`) and filled in by `record-text.ts`, so that it goes with the connection and nothing is looked up.
 */
export class FlowWords {
  shared: SharedText | null = null;
}

/** What is the same in all records of a stage of a connection. */
export type SharedText = {
  readonly group: string | null;
  readonly identity: string | null;
  readonly client: string;
  readonly via: string | null;
  readonly host: string | null;
  readonly port: number | null;
  readonly policy: string;
  readonly stage: string;
  readonly flow: string;
  /** up to `request_id` */
  readonly head: string;
  /** from `group` to `port` */
  readonly middle: string;
  readonly tail: string;
  /** the request that was decided last; null: its end was written as well */
  request: AskedText | null;
};

/** What a decision and its end say alike. */
export type AskedText = {
  readonly requestId: string;
  readonly method: string | null;
  readonly path: string | null;
  readonly keys: readonly string[];
  /** from `stage` to `path` */
  readonly text: string;
  readonly keysText: string;
};
