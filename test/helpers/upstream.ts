/** Upstreams of a test's own: real HTTP servers (Node's parser, independent of ours) and scripted raw ones. */
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import tls from 'node:tls';
import { upstreamContext } from './world.ts';

export type SeenRequest = {
  readonly method: string;
  readonly url: string;
  readonly headers: http.IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
  readonly remotePort: number;
};

export type Upstream = {
  readonly port: number;
  /** complete requests, in order */
  readonly seen: SeenRequest[];
  /** connections accepted so far */
  readonly connections: () => number;
  close(): Promise<void>;
};

type Answer = (request: SeenRequest, response: http.ServerResponse) => void;

const echo: Answer = (request, response) => {
  response.setHeader('content-type', 'text/plain');
  response.end(`${request.method} ${request.url} ${request.body.length}`);
};

/** An HTTP server; with `name`, over TLS with a certificate for it. */
export async function httpUpstream(
  options: { name?: string; answer?: Answer; host?: string; port?: number } = {},
): Promise<Upstream> {
  const seen: SeenRequest[] = [];
  let connections = 0;
  const handler = (incoming: http.IncomingMessage, response: http.ServerResponse): void => {
    const parts: Buffer[] = [];
    incoming.on('data', (bytes: Buffer) => parts.push(bytes));
    incoming.on('error', () => {});
    incoming.on('end', () => {
      const request: SeenRequest = {
        method: incoming.method ?? '',
        url: incoming.url ?? '',
        headers: incoming.headers,
        rawHeaders: incoming.rawHeaders,
        body: Buffer.concat(parts),
        remotePort: incoming.socket.remotePort ?? 0,
      };
      seen.push(request);
      (options.answer ?? echo)(request, response);
    });
  };
  const server =
    options.name === undefined
      ? http.createServer({ keepAliveTimeout: 60_000 }, handler)
      : https.createServer({ keepAliveTimeout: 60_000, SNICallback: sniFor(options.name) }, handler);
  server.on(options.name === undefined ? 'connection' : 'secureConnection', () => {
    connections += 1;
  });
  const port = await listenOn(server, options.host, options.port);
  return { port, seen, connections: () => connections, close: () => closeServer(server) };
}

/** A server that runs `script` on each connection; with `name`, inside TLS. */
export async function rawUpstream(
  script: (socket: net.Socket) => void,
  options: { name?: string; host?: string; alpn?: string[] } = {},
): Promise<{ port: number; connections: () => number; close(): Promise<void> }> {
  let connections = 0;
  const onSocket = (socket: net.Socket): void => {
    connections += 1;
    socket.on('error', () => socket.destroy());
    script(socket);
  };
  const server =
    options.name === undefined
      ? net.createServer({ allowHalfOpen: true }, onSocket)
      : tls.createServer(
          { SNICallback: sniFor(options.name), ALPNProtocols: options.alpn ?? ['http/1.1'] },
          onSocket,
        );
  const port = await listenOn(server, options.host);
  return { port, connections: () => connections, close: () => closeServer(server) };
}

function sniFor(
  name: string,
): (servername: string, done: (error: Error | null, context?: tls.SecureContext) => void) => void {
  const context = upstreamContext(name);
  return (_servername, done) => done(null, context);
}

/** Listens on loopback, by default on a free port; the port. */
export async function listenOn(server: net.Server, host = '127.0.0.1', port = 0): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen(port, host, resolve);
  await promise;
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no address');
  return address.port;
}

async function closeServer(server: net.Server): Promise<void> {
  if (server instanceof http.Server || server instanceof https.Server) server.closeAllConnections();
  const { promise, resolve } = Promise.withResolvers<void>();
  server.close(() => resolve());
  server.unref();
  await Promise.race([promise, new Promise<void>((done) => setTimeout(done, 200))]);
}
