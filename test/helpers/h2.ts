/** HTTP/2 as tests speak it: clients through the proxy and upstreams of their own, both `node:http2`. */
import { once } from 'node:events';
import http2 from 'node:http2';
import type net from 'node:net';
import tls from 'node:tls';
import { type ConnectOptions, connect } from './talk.ts';
import { upstreamContext } from './world.ts';

export type H2Reply = {
  readonly status: number;
  readonly headers: http2.IncomingHttpHeaders;
  readonly body: Buffer;
  readonly trailers: http2.IncomingHttpHeaders;
  /** statuses of interim responses */
  readonly interim: readonly number[];
  /** code of a RST_STREAM; 0: the stream ended by itself */
  readonly code: number;
  json(): Record<string, unknown>;
};

export type H2Client = {
  readonly session: http2.ClientHttp2Session;
  readonly socket: tls.TLSSocket;
  /** one request; `fields`: beside method and path */
  ask(
    line: string,
    fields?: http2.OutgoingHttpHeaders,
    body?: string | Buffer,
    trailers?: http2.OutgoingHttpHeaders,
  ): Promise<H2Reply>;
  request(
    line: string,
    fields?: http2.OutgoingHttpHeaders,
    options?: http2.ClientSessionRequestOptions,
  ): http2.ClientHttp2Stream;
  close(): void;
};

/** TLS through a CONNECT with that ALPN offer. */
export async function tlsWith(
  port: number,
  at: string,
  options: ConnectOptions & { ca: string; alpn: string[] },
): Promise<tls.TLSSocket> {
  const client = await connect(port, at, options);
  client.socket.removeAllListeners('data');
  const socket = tls.connect({
    socket: client.socket,
    ca: options.ca,
    servername: at.slice(0, at.lastIndexOf(':')),
    ALPNProtocols: options.alpn,
  });
  socket.on('error', () => {});
  await once(socket, 'secureConnect');
  return socket;
}

/** An HTTP/2 connection to `at` through the proxy. */
export async function connectH2(
  port: number,
  at: string,
  options: ConnectOptions & { ca: string; alpn?: string[]; settings?: http2.Settings },
): Promise<H2Client> {
  const socket = await tlsWith(port, at, { ...options, alpn: options.alpn ?? ['h2'] });
  if (socket.alpnProtocol !== 'h2') throw new Error(`negotiated ${String(socket.alpnProtocol)}`);
  const session = http2.connect(`https://${at}`, {
    createConnection: () => socket,
    ...(options.settings === undefined ? {} : { settings: options.settings }),
  });
  session.on('error', () => {});
  const request: H2Client['request'] = (line, fields = {}, how = {}) => {
    const [method = '', path = ''] = line.split(' ');
    return session.request({ ':method': method, ':path': path, ':authority': at, ...fields }, how);
  };
  return {
    session,
    socket,
    request,
    ask: async (line, fields, body, trailers) => {
      const endStream = body === undefined && trailers === undefined;
      const stream = request(line, fields, { endStream, waitForTrailers: trailers !== undefined });
      if (trailers !== undefined) stream.once('wantTrailers', () => stream.sendTrailers(trailers));
      if (!endStream) stream.end(body ?? '');
      return replyTo(stream);
    },
    close: () => void socket.destroy(),
  };
}

/** Everything of the answer, however the stream ends. */
export async function replyTo(stream: http2.ClientHttp2Stream): Promise<H2Reply> {
  const parts: Buffer[] = [];
  let headers: http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader = {};
  let trailers: http2.IncomingHttpHeaders = {};
  const interim: number[] = [];
  stream.on('response', (all) => {
    headers = all;
  });
  stream.on('headers', (all) => void interim.push(Number(all[':status'])));
  stream.on('continue', () => void interim.push(100));
  stream.on('trailers', (all: http2.IncomingHttpHeaders) => {
    trailers = all;
  });
  stream.on('data', (bytes: Buffer) => parts.push(bytes));
  stream.on('error', () => {});
  const { promise, resolve } = Promise.withResolvers<void>();
  stream.on('close', resolve);
  await promise;
  const body = Buffer.concat(parts);
  return {
    status: headers[':status'] ?? 0,
    headers,
    body,
    trailers,
    interim,
    code: stream.rstCode ?? 0,
    json: () => {
      const value: unknown = JSON.parse(body.toString());
      if (typeof value !== 'object' || value === null) throw new Error('no JSON object');
      return Object.fromEntries(Object.entries(value));
    },
  };
}

export type H2Upstream = {
  readonly port: number;
  /** what ALPN came out on each connection */
  readonly spoken: (string | false | null)[];
  readonly sessions: http2.ServerHttp2Session[];
  close(): Promise<void>;
};

/** A server that speaks HTTP/2 alone, or HTTP/1.1 as well (`http1`), over TLS with a certificate for whatever it is asked for. */
export async function h2Upstream(
  name: string,
  onStream: (
    stream: http2.ServerHttp2Stream,
    headers: http2.IncomingHttpHeaders,
    raw: readonly string[],
  ) => void,
  options: http2.SecureServerOptions & { http1?: boolean } = {},
): Promise<H2Upstream> {
  const server = http2.createSecureServer({
    ...options,
    allowHTTP1: options.http1 === true,
    SNICallback: (asked, done) => done(null, upstreamContext(asked === '' ? name : asked)),
  });
  const spoken: (string | false | null)[] = [];
  const sessions: http2.ServerHttp2Session[] = [];
  const sockets = new Set<net.Socket>();
  server.on('secureConnection', (socket: tls.TLSSocket) => {
    spoken.push(socket.alpnProtocol);
    sockets.add(socket);
    socket.on('error', () => {});
  });
  server.on('session', (session: http2.ServerHttp2Session) => {
    sessions.push(session);
    session.on('error', () => {});
  });
  server.on(
    'stream',
    (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders, _flags: number, raw: string[]) => {
      stream.on('error', () => {});
      onStream(stream, headers, raw);
    },
  );
  if (options.http1 === true) {
    server.on('request', (request, response) => {
      if (request.httpVersion === '1.1') response.end(`http/1.1 ${request.url}`);
    });
  }
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no address');
  return {
    port: address.port,
    spoken,
    sessions,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await Promise.resolve();
    },
  };
}
