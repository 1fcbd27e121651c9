/** What the bench knows of a proxy under test: how to start it, and how the load generator reaches through it. */
import type { Material } from '../harness/material.ts';
import type { Running } from '../harness/process.ts';

/** The ways through a proxy that rows measure. */
export type Path = 'intercept' | 'tunnel';

/** What not every participant can, or is set up to do here. */
export type Feature = 'h2' | 'h2-h2' | 'websocket' | 'websocket-keys' | 'body-keys';

/** Where the upstream listens: TLS HTTP (twice), HTTP in the clear, HTTP/2, raw source, raw sink, raw echo. */
export type Upstream = {
  readonly tls: number;
  /** the same, under another rule: keys are swapped in WebSocket messages too */
  readonly tlsKeys: number;
  readonly plain: number;
  readonly h2: number;
  /** the Authorization value that it wants */
  readonly authorization: string;
  readonly source: number;
  readonly sink: number;
  readonly echo: number;
};

export type Setting = { readonly material: Material; readonly upstream: Upstream; readonly core: number };

export type Started = Running & {
  readonly port: number;
  /** a reverse proxy: connected to without CONNECT */
  readonly direct: boolean;
  /** name the load generator asks for: some peers have no way to learn ours */
  readonly host: string;
  /** Authorization value that the client sends; the proxy makes the real one of it */
  readonly authorization: string;
  /** the same in the handshake of a WebSocket, where it is another */
  readonly upgrade?: string;
  /** the same for `tlsKeys`: put into WebSocket messages, swapped there as well */
  readonly message?: string;
};

export type Peer = {
  readonly name: string;
  readonly paths: readonly Path[];
  /** absent: all, for all we know */
  readonly features?: readonly Feature[];
  /** rows that it is worth measuring in; absent: all of its paths */
  readonly rows?: readonly string[];
  /** what is missing to run it, by name; empty when it can run */
  readonly missing: () => string[];
  readonly start: (setting: Setting, path: Path) => Promise<Started>;
};

/** What every peer with a static swap is sent, so that request sizes are alike. */
export const PLACEHOLDER = `Bearer bench-${'0'.repeat(48)}`;
