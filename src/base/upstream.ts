/**
 * The upstream connections as the stages that use them see them. Made and pooled by `dial/pool.ts`; the
 * types stand here because stages do not import stages.
 */
import type net from 'node:net';
import type { Permit } from '../flow/permit.ts';
import type { Denied } from '../flow/reason.ts';

/** Who gets what an upstream connection has to say; exactly one user at a time. */
export type UpstreamUser = {
  onData(bytes: Buffer): void;
  onDrain(): void;
  onEnd(): void;
  onClose(error: Error | null): void;
};

export type UpstreamConn = {
  readonly socket: net.Socket;
  readonly key: string;
  /** requests that it has served, the present one included */
  uses: number;
  user: UpstreamUser | null;
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
