/** Parent proxies that are not ours: proxy-chain over http and https, microsocks for SOCKS5. All ask for credentials. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import type tls from 'node:tls';
import { RequestError, Server } from 'proxy-chain';
import { freePort } from './ports.ts';
import { eventually, upstreamContext } from './world.ts';

export const PARENT_USER = 'corp user';
export const PARENT_PASSWORD = 'p@ss:wörd';
const SOCKS_USER = 'corp';
const SOCKS_PASSWORD = 'socks-pass';

export type ParentProxy = {
  /** for `parent_proxy`, credentials in it */
  readonly url: string;
  readonly port: number;
  /** what was asked for by CONNECT, in order */
  readonly asked: string[];
  close(): Promise<void>;
};

/** An HTTP CONNECT proxy; `tls`: it speaks TLS and is called `localhost`. */
export async function httpParent(options: { tls?: boolean; refuseWith?: number } = {}): Promise<ParentProxy> {
  const asked: string[] = [];
  const own = {
    host: '127.0.0.1',
    port: 0,
    prepareRequestFunction: ({ username, password, request }: Asked) => {
      if (username !== PARENT_USER || password !== PARENT_PASSWORD) return { requestAuthentication: true };
      asked.push(request.url ?? '');
      if (options.refuseWith !== undefined) throw new RequestError('blocked here', options.refuseWith);
      return {};
    },
  };
  const server =
    options.tls === true
      ? new Server({ ...own, serverType: 'https', httpsOptions: { SNICallback: asLocalhost } })
      : new Server(own);
  await server.listen();
  const scheme = options.tls === true ? 'https://' : 'http://';
  const host = options.tls === true ? 'localhost' : '127.0.0.1';
  const credentials = `${encodeURIComponent(PARENT_USER)}:${encodeURIComponent(PARENT_PASSWORD)}`;
  return {
    url: `${scheme}${credentials}@${host}:${server.port}`,
    port: server.port,
    asked,
    close: () => server.close(true),
  };
}

function asLocalhost(_name: string, done: (error: Error | null, context: tls.SecureContext) => void): void {
  done(null, upstreamContext('localhost'));
}

type Asked = { username: string; password: string; request: { url?: string | undefined } };

/** A SOCKS5 proxy of Debian's. It does not tell what it was asked for. */
export async function socksParent(): Promise<ParentProxy> {
  const port = await freePort();
  const child: ChildProcess = spawn(
    'microsocks',
    ['-i', '127.0.0.1', '-p', String(port), '-u', SOCKS_USER, '-P', SOCKS_PASSWORD],
    { stdio: 'ignore' },
  );
  await eventually(() => reachable(port));
  return {
    url: `socks5://${SOCKS_USER}:${SOCKS_PASSWORD}@127.0.0.1:${port}`,
    port,
    asked: [],
    close: async () => {
      child.kill();
      await once(child, 'exit');
    },
  };
}

async function reachable(port: number): Promise<boolean> {
  const socket = net.connect(port, '127.0.0.1');
  const { promise, resolve } = Promise.withResolvers<boolean>();
  socket.once('connect', () => resolve(true));
  socket.once('error', () => resolve(false));
  const up = await promise;
  socket.destroy();
  return up;
}
