/** WebSocket as a test speaks it: real `ws` servers and clients, and frames written byte by byte. */
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import { type ClientOptions, type PerMessageDeflateOptions, WebSocket, WebSocketServer } from 'ws';
import { OPCODE, wholeFrame } from '../../src/wire/websocket.ts';
import { connect, connectTls } from './talk.ts';
import { upstreamContext, type World } from './world.ts';

export type Message = { readonly text: string; readonly binary: boolean };

export type WsUpstream = {
  readonly port: number;
  /** whole messages of all clients, in order */
  readonly seen: Message[];
  readonly handshakes: http.IncomingMessage[];
  /** close codes that clients gave, with their reasons */
  readonly closed: (readonly [code: number, reason: string])[];
  readonly sockets: Set<WebSocket>;
  close(): Promise<void>;
};

export type WsUpstreamOptions = {
  readonly name?: string;
  readonly host?: string;
  readonly port?: number;
  readonly deflate?: boolean | PerMessageDeflateOptions;
  /** default: echo */
  readonly onMessage?: (socket: WebSocket, data: Buffer, binary: boolean) => void;
  readonly onOpen?: (socket: WebSocket) => void;
};

/** An echo server of the `ws` package; with `name`, over TLS. */
export async function wsUpstream(options: WsUpstreamOptions = {}): Promise<WsUpstream> {
  const { name, deflate = false, host = '127.0.0.1', port = 0 } = options;
  const seen: Message[] = [];
  const handshakes: http.IncomingMessage[] = [];
  const closed: (readonly [number, string])[] = [];
  const context = name === undefined ? null : upstreamContext(name);
  const server =
    context === null
      ? http.createServer()
      : https.createServer({ SNICallback: (_name, done) => done(null, context) });
  const sockets = new WebSocketServer({
    server,
    perMessageDeflate: deflate,
    handleProtocols: (offered) => [...offered][0] ?? false,
  });
  sockets.on('connection', (socket, request) => {
    handshakes.push(request);
    socket.on('error', () => {});
    socket.on('close', (code, reason) => closed.push([code, reason.toString()]));
    socket.on('message', (data: Buffer, binary: boolean) => {
      seen.push({ text: data.toString(), binary });
      if (options.onMessage === undefined) socket.send(data, { binary });
      else options.onMessage(socket, data, binary);
    });
    options.onOpen?.(socket);
  });
  sockets.on('error', () => {});
  server.listen(port, host);
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no address');
  return {
    port: address.port,
    seen,
    handshakes,
    closed,
    sockets: sockets.clients,
    close: async () => {
      for (const socket of sockets.clients) socket.terminate();
      sockets.close();
      server.close();
    },
  };
}

/** A `ws` client whose bytes go through an open CONNECT (and TLS). */
export async function wsThrough(
  world: World,
  url: string,
  options: ClientOptions & { readonly protocols?: string[] } = {},
): Promise<WebSocket> {
  const { hostname, port, protocol } = new URL(url);
  const secure = protocol === 'wss:';
  const at = `${hostname}:${port === '' ? (secure ? 443 : 80) : port}`;
  const through = secure
    ? await connectTls(world.port, at, { ca: world.caPem })
    : await connect(world.port, at);
  through.socket.removeAllListeners('data');
  const socket = new WebSocket(url, options.protocols ?? [], {
    ...options,
    createConnection: () => through.socket,
  });
  socket.on('error', () => {});
  return socket;
}

/** The bytes of the next such event. */
export async function told(socket: WebSocket, event: 'message' | 'ping' | 'pong'): Promise<Buffer> {
  const { promise, resolve } = Promise.withResolvers<Buffer>();
  socket.once(event, (data: Buffer) => resolve(data));
  return promise;
}

/** The next whole message as text. */
export async function nextMessage(socket: WebSocket): Promise<string> {
  return (await told(socket, 'message')).toString();
}

/** The close that a client was told of. */
export async function closeOf(socket: WebSocket): Promise<{ code: number; reason: string }> {
  const { promise, resolve } = Promise.withResolvers<{ code: number; reason: string }>();
  socket.once('close', (code, reason) => resolve({ code, reason: reason.toString() }));
  return promise;
}

export const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
/** RFC 6455 section 1.3: the answer to `KEY`. */
export const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=';

/** A handshake, without its empty line's CRLF: more fields may follow. */
export function handshakeText(at: string, path = '/', fields = ''): string {
  return `GET ${path} HTTP/1.1\r\nHost: ${at}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ${KEY}\r\nSec-WebSocket-Version: 13\r\n${fields}\r\n`;
}

export function agreeText(fields = ''): string {
  return `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${ACCEPT}\r\n${fields}\r\n`;
}

export type FrameWords = { fin?: boolean; rsv1?: boolean; opcode?: number; mask?: number | null };

/** A frame of a client, unless `mask` is null. */
export function frameOf(payload: string | Buffer, how: FrameWords = {}): Buffer {
  const { fin = true, rsv1 = false, opcode = OPCODE.text, mask = 0x37fa213d } = how;
  return wholeFrame({ fin, rsv1, opcode, mask }, Buffer.from(payload));
}
