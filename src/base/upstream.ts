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

export type UpstreamConn = {
  /** a TLSSocket where the connection was opened `secure` */
  readonly socket: net.Socket;
  readonly key: string;
  /** requests so far, this one included: above 1, a failure before the first byte of an answer may be staleness */
  uses: number;
  user: UpstreamUser | null;
  /** what its users keep with it from one request to the next */
  kept: object | null;
};

export type UpstreamPool = {
  /** an idle connection of the same identity, target and policy, or `null` */
  take(permit: Permit, secure: boolean): UpstreamConn | null;
  open(permit: Permit, secure: boolean, signal?: AbortSignal): Promise<UpstreamConn | Denied>;
  release(conn: UpstreamConn): void;
  discard(conn: UpstreamConn): void;
};

/** Judges every address of the permit's target; one bad answer refuses all. */
export type Vet = (permit: Permit, signal?: AbortSignal) => Promise<readonly string[] | Denied>;

/** The same at once, where no name server has to be asked; else null. */
export type VetNow = (permit: Permit) => readonly string[] | Denied | null;

/** Connects to one of the judged addresses. */
export type DialTcp = (
  permit: Permit,
  opts: {
    readonly addresses: readonly string[];
    readonly onread: net.OnReadOpts;
    readonly allowHalfOpen: boolean;
    readonly signal: AbortSignal;
  },
) => Promise<net.Socket | Denied>;
