/**
 * The hop through the operator's own proxy (`parent_proxy`): http://, https:// and socks5://, with credentials in
 * the URL. proxy-chain speaks to the parent, behind a listener on loopback that asks for a password made for
 * this process; `parent-connect.ts` connects through it. What is handed on is the address that the guard judged,
 * never the name, so that the parent has nothing to resolve a second time (I2, threat 2.5).
 */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';
import { isIP } from 'node:net';
import { RequestError, Server } from 'proxy-chain';
import type { ConnectAsk, ConnectOutcome } from './happy-eyeballs.ts';
import { createParentConnect } from './parent-connect.ts';

export type ParentOptions = {
  /** http://, https:// or socks5://, percent-encoded credentials allowed */
  readonly url: string;
  /** PEM texts that an https:// parent's certificate is verified against */
  readonly ca: readonly string[];
  /** the parent did not connect us; told at most every ten seconds */
  readonly onProblem?: (message: string) => void;
};

export type Parent = {
  /** Opens the loopback end; rejects when no port is to be had. To be awaited before `connect`. */
  listen(): Promise<{ host: string; port: number }>;
  /** As `connectFirst`, through the parent. Never rejects. */
  readonly connect: (ask: ConnectAsk) => Promise<ConnectOutcome>;
  close(): Promise<void>;
};

const TELL_EVERY_MS = 10_000;
const LOOPBACK = '127.0.0.1';
const USER = 'sallyport';
/** proxy-chain reads the port from the URL and has no default of its own for this scheme (RFC 1928: 1080). */
const SOCKS_PORT = '1080';

/** Makes the hop; nothing is opened before `listen`. */
export function createParent(options: ParentOptions): Parent {
  const password = randomBytes(32).toString('hex');
  const upstreamProxyUrl = withPort(options.url);
  // Agents of our own: the global ones may be bent by NODE_USE_ENV_PROXY in the operator's environment.
  const httpAgent = new http.Agent({ keepAlive: false });
  // Without the name Node takes it from the Host field, which holds the address behind the parent.
  const servername = serverName(upstreamProxyUrl);
  const httpsAgent = new https.Agent({ keepAlive: false, ca: [...options.ca], servername });
  const server = new Server({
    host: LOOPBACK,
    port: 0,
    authRealm: USER,
    prepareRequestFunction: (ask) => {
      // Only a CONNECT of ours: a plain request, or another process on this machine, gets nothing.
      if (ask.isHttp || !same(ask.username, USER) || !same(ask.password, password)) {
        throw new RequestError('not yours', 403);
      }
      // Nobody reads this socket until the parent has answered, so that our leaving would go unnoticed.
      ask.request.socket.resume();
      return { upstreamProxyUrl, httpAgent, httpsAgent };
    },
  });
  const parentConnect = createParentConnect({
    authorization: `Basic ${Buffer.from(`${USER}:${password}`).toString('base64')}`,
    socks: upstreamProxyUrl.startsWith('socks5:'),
  });
  let port = 0;
  let toldAt = Number.NEGATIVE_INFINITY;
  const tell = (outcome: ConnectOutcome): void => {
    if (outcome.kind === 'connected' || outcome.detail === undefined) return;
    if (performance.now() - toldAt < TELL_EVERY_MS) return;
    toldAt = performance.now();
    options.onProblem?.(outcome.detail);
  };
  return {
    async listen() {
      await server.listen();
      port = server.port;
      return { host: LOOPBACK, port };
    },
    connect: async (ask) => {
      const outcome = await parentConnect({ host: LOOPBACK, port }, ask);
      tell(outcome);
      return outcome;
    },
    async close() {
      httpAgent.destroy();
      httpsAgent.destroy();
      await server.close(true);
    },
  };
}

function withPort(text: string): string {
  const url = new URL(text);
  if (url.protocol === 'socks5:' && url.port === '') url.port = SOCKS_PORT;
  return url.href;
}

/** For SNI and the certificate; an address is told neither by SNI nor here. */
function serverName(text: string): string {
  const { hostname } = new URL(text);
  return isIP(hostname.replace(/^\[|\]$/g, '')) === 0 ? hostname : '';
}

function same(given: string, wanted: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(wanted)];
  return a.length === b.length && timingSafeEqual(a, b);
}
