/**
 * Upstreams of the live cases, on every address of the namespace: Node's HTTP server in the clear and inside TLS
 * (a parser that is not ours), raw recorders, and scripted raw servers. Who was meant is told by the address
 * that a connection came in on.
 */
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import tls from 'node:tls';
import { upstreamContext } from './world.ts';

export type Complete = {
  /** address that was dialled */
  readonly at: string;
  readonly method: string;
  readonly url: string;
  readonly headers: http.IncomingHttpHeaders;
  readonly trailers: NodeJS.Dict<string>;
  readonly bodyBytes: number;
};

/** Complete requests, and what was no HTTP, by address. */
export type HttpUpstreams = {
  readonly seen: Complete[];
  readonly malformed: { readonly at: string; readonly code: string }[];
};

/** An aborted body is no malformed request. */
const ABORTS = new Set(['ECONNRESET', 'HPE_INVALID_EOF_STATE', 'EPIPE']);

/** Port 80 in the clear and port 443 inside TLS as `name`. `onHead` hears of each request as soon as its head is there. */
export async function startHttpUpstreams(name: string, onHead: (at: string) => void): Promise<HttpUpstreams> {
  const seen: Complete[] = [];
  const malformed: { at: string; code: string }[] = [];
  const handler = (incoming: http.IncomingMessage, response: http.ServerResponse): void => {
    let bodyBytes = 0;
    const at = plain(incoming.socket.localAddress);
    onHead(at);
    incoming.on('error', () => {});
    incoming.on('data', (bytes: Buffer) => {
      bodyBytes += bytes.length;
    });
    incoming.on('end', () => {
      const { method = '', url = '', headers, trailers } = incoming;
      seen.push({ at, method, url, headers, trailers, bodyBytes });
      response.end('ok');
    });
  };
  const options = { keepAliveTimeout: 60_000 };
  const servers = [
    { server: http.createServer(options, handler), port: 80 },
    { server: https.createServer({ ...options, SNICallback: sniFor(name) }, handler), port: 443 },
  ];
  for (const { server, port } of servers) {
    server.on('clientError', (error: NodeJS.ErrnoException, socket: net.Socket) => {
      if (!ABORTS.has(error.code ?? ''))
        malformed.push({ at: plain(socket.localAddress), code: error.code ?? '' });
      socket.destroy();
    });
    await listening(server, port);
  }
  return { seen, malformed };
}

export type Recording = { readonly at: string; bytes: Buffer };

/** A server that keeps what arrives and answers nothing. */
export async function startRecorder(port: number): Promise<Recording[]> {
  const recordings: Recording[] = [];
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    const recording: Recording = { at: plain(socket.localAddress), bytes: Buffer.alloc(0) };
    recordings.push(recording);
    socket.on('error', () => socket.destroy());
    socket.on('data', (bytes: Buffer) => {
      recording.bytes = Buffer.concat([recording.bytes, bytes]);
    });
    socket.on('end', () => socket.end());
  });
  await listening(server, port);
  return recordings;
}

/** Answers every request head with what `script` says for its path; `end`: closes behind it. */
export async function startScripted(
  script: (path: string) => { bytes: Buffer; end: boolean },
  options: { port: number; name: string | null },
): Promise<void> {
  const onSocket = (socket: net.Socket): void => {
    let head = '';
    socket.on('error', () => socket.destroy());
    socket.on('data', (bytes: Buffer) => {
      head += bytes.toString('latin1');
      if (!head.includes('\r\n\r\n')) return;
      const { bytes: answer, end } = script(/^\S+ (\S+)/.exec(head)?.[1] ?? '');
      head = '';
      if (end) socket.end(answer);
      else socket.write(answer);
    });
  };
  const server =
    options.name === null
      ? net.createServer(onSocket)
      : tls.createServer({ SNICallback: sniFor(options.name) }, onSocket);
  await listening(server, options.port);
}

async function listening(server: net.Server, port: number): Promise<void> {
  // The driver ends by itself when its work is done.
  server.unref();
  server.listen(port, '::');
  await once(server, 'listening');
}

function sniFor(
  name: string,
): (servername: string, done: (error: Error | null, context?: tls.SecureContext) => void) => void {
  const context = upstreamContext(name);
  return (_servername, done) => done(null, context);
}

function plain(address: string | undefined): string {
  return (address ?? '').replace(/^::ffff:(?=\d+\.)/, '');
}
