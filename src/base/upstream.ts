/**
 * The upstream connections as the stages that use them see them. Made and pooled by `dial/pool.ts`; the
 * types stand here because stages do not import stages.
 */
import type net from 'node:net';
import type { Permit } from '../flow/permit.ts';
import type { Denied } from '../flow/reason.ts';

/** Who gets what an upstream connection has to say, one at a time. A callback that throws destroys the connection. */
export type UpstreamUser = {
  /** the bytes stay as they are: they are not a shared buffer */
  onData(bytes: Buffer): void;
  onDrain(): void;
  /** the upstream sends no more; `onClose` follows */
  onEnd(): void;
  /** last call, once */
  onClose(error: Error | null): void;
};

/** What an exchange does with a connection: a socket, or a stream of HTTP/2 that behaves like one. */
export type UpstreamSocket = {
  /** false: wait for `onDrain` */
  write(bytes: Buffer | string, encoding?: 'latin1'): boolean;
  end(): unknown;
  /** nothing more is read or written */
  destroy(): unknown;
  pause(): unknown;
  resume(): unknown;
  readonly writableLength: number;
};

export type UpstreamConn = {
  /** a TLSSocket or a stream on one where the connection was opened `secure` */
  readonly socket: UpstreamSocket;
  readonly key: string;
  /** requests so far, this one included: above 1, a failure before the first byte of an answer may be staleness */
  uses: number;
  user: UpstreamUser | null;
  /** the upstream has said that it did nothing with the request: any may be sent once more */
  readonly unprocessed: boolean;
  /** what its users keep with it from one request to the next */
  kept: object | null;
};

export type UpstreamPool = {
  /**
   * An idle connection of the same identity, target and policy, or `null`. `h2`: HTTP/2 is welcome, because the client
   * speaks it as well.
   */
  take(permit: Permit, secure: boolean, h2?: boolean): UpstreamConn | null;
  open(permit: Permit, secure: boolean, signal?: AbortSignal, h2?: boolean): Promise<UpstreamConn | Denied>;
  release(conn: UpstreamConn): void;
  discard(conn: UpstreamConn): void;
};

/** The addresses of a target, each judged, for one permit: dialled with that one alone. */
export type Vetted = { readonly addresses: readonly string[] };

/** Judges every address of the permit's target; one bad answer refuses all. */
export type Vet = (permit: Permit, signal?: AbortSignal) => Promise<Vetted | Denied>;

/** The same at once, where no name server has to be asked; else null. */
export type VetNow = (permit: Permit) => Vetted | Denied | null;

/**
 * Connects to one of the vetted addresses, half-open ends allowed. Calls `tell` once, after it has returned; not any more
 * after `leave`. Throws when the addresses are another permit's.
 */
export type OpenTcp = (
  permit: Permit,
  how: { readonly vetted: Vetted; readonly onread: net.OnReadOpts },
  tell: (opened: net.Socket | Denied) => void,
) => { leave(): void };
