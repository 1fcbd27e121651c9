// The least that this runtime can do: bytes are moved as Sallyport moves them (handles with a read buffer of their own in
// tunnels, `tls.TLSSocket` on both sides of an intercepted connection, an upstream pool, one write a message), and nothing
// else is done. No policy, no record, no limits; heads are looked at as far as the load generator needs it. What
// Sallyport costs beyond it is what it does; what its goals ask below it, nothing on this runtime can reach.
import { readFileSync } from 'node:fs';
import net from 'node:net';
import tls from 'node:tls';

type Env = { BENCH_PORT: string; BENCH_PATH: string; BENCH_UPSTREAM: string; BENCH_CA: string } & {
  BENCH_CERT: string;
  BENCH_KEY: string;
  BENCH_SECRET: string;
};
const env = process.env as Env;
const HOST = '127.0.0.1';
const CONNECTED = 'HTTP/1.1 200 Connection Established\r\n\r\n';
const HEAD_END = '\r\n\r\n';
const PLACEHOLDER = /Bearer bench-0+/;
const LENGTH = /\r\ncontent-length: *(\d+)/i;
const SCRATCH_BYTES = 262_144;
let scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);

/** Where the CONNECT asks to go, and what came behind its head. */
function readConnect(bytes: Buffer): { port: number; early: Buffer } | null {
  const text = bytes.toString('latin1', 0, bytes.length);
  const port = /^CONNECT [^:]+:(\d+) /.exec(text)?.[1];
  const end = text.indexOf(HEAD_END);
  if (port === undefined || end === -1) return null;
  return { port: Number(port), early: Buffer.from(bytes.subarray(end + HEAD_END.length)) };
}

type OnBytes = (bytes: Buffer) => boolean;
type Handled = { _handle: unknown };

/** The accepted handle in a socket that reads into `scratch`. */
function rewrap(accepted: net.Socket, onBytes: OnBytes): net.Socket {
  const holder = accepted as unknown as Handled;
  const handle = holder._handle;
  holder._handle = null;
  const options = { handle, onread: reads(onBytes), allowHalfOpen: true, readable: true, writable: true };
  return new net.Socket(options as net.SocketConstructorOpts);
}

function reads(onBytes: OnBytes): net.OnReadOpts {
  return {
    buffer: () => scratch,
    callback: (count, { buffer, byteOffset }) => onBytes(Buffer.from(buffer, byteOffset, count)),
  };
}

/** Ends with the other side, whichever of the two comes first. */
function tie(one: net.Socket, other: net.Socket): void {
  one.on('end', () => other.end());
  one.on('drain', () => other.resume());
  one.on('error', () => other.destroy());
  one.on('close', () => other.destroy());
}

/** The bytes stand in `scratch`: what did not leave at once keeps it. */
function pass(to: net.Socket, bytes: Buffer): boolean {
  const more = to.write(bytes);
  if (to.writableLength > 0) scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  return more;
}

function tunnel(accepted: net.Socket): void {
  let up: net.Socket | null = null;
  const client = rewrap(accepted, (bytes) => {
    if (up !== null) return pass(up, bytes);
    const asked = readConnect(bytes);
    if (asked === null) client.destroy();
    else up = onward(client, asked);
    return false;
  });
  client.resume();
}

function onward(client: net.Socket, { port, early }: { port: number; early: Buffer }): net.Socket {
  const onread = reads((bytes) => pass(client, bytes));
  const up = net.connect({ host: HOST, port, noDelay: true, allowHalfOpen: true, onread }, () => {
    client.write(CONNECTED);
    if (early.length > 0) up.write(early);
    client.resume();
  });
  tie(client, up);
  tie(up, client);
  return up;
}

type Upstream = { readonly socket: tls.TLSSocket; exchange: Exchange | null };
const idle: Upstream[] = [];

/** A connection to the upstream that nobody uses; `told` gets it. */
function upstream(told: (up: Upstream) => void): void {
  const known = idle.pop();
  if (known !== undefined && !known.socket.destroyed) return told(known);
  const at = { host: HOST, port: Number(env.BENCH_UPSTREAM), servername: 'bench.test' };
  const socket = tls.connect({ ...at, secureContext: outward }, () => told(made));
  const made: Upstream = { socket, exchange: null };
  socket.on('data', (bytes: Buffer) => made.exchange?.answer(bytes));
  socket.on('error', () => socket.destroy());
  socket.on('close', () => made.exchange?.client.destroy());
  return undefined;
}

/** One intercepted connection, which has one request at a time. */
class Exchange {
  readonly client: tls.TLSSocket;
  #came: Buffer | null = null;
  #left = 0;
  #up: Upstream | null = null;

  constructor(client: tls.TLSSocket) {
    this.client = client;
    client.on('data', (bytes: Buffer) => this.ask(bytes));
    client.on('error', () => client.destroy());
    client.on('close', () => this.#up?.socket.destroy());
  }

  ask(bytes: Buffer): void {
    const all = this.#came === null ? bytes : Buffer.concat([this.#came, bytes]);
    const end = all.indexOf(HEAD_END);
    const head = end === -1 ? '' : all.toString('latin1', 0, end);
    this.#came = all;
    if (end === -1 || all.length < end + HEAD_END.length + Number(LENGTH.exec(head)?.[1] ?? 0)) return;
    this.#came = null;
    const swapped = head.replace(PLACEHOLDER, `Bearer ${env.BENCH_SECRET}`);
    upstream((up) => {
      this.#up = up;
      up.exchange = this;
      up.socket.write(swapped + all.toString('latin1', end), 'latin1');
    });
  }

  answer(bytes: Buffer): void {
    if (this.#left === 0) {
      const end = bytes.indexOf(HEAD_END);
      this.#left = end + HEAD_END.length + Number(LENGTH.exec(bytes.toString('latin1', 0, end))?.[1] ?? 0);
    }
    this.#left -= bytes.length;
    if (this.#left === 0 && this.#up !== null) {
      this.#up.exchange = null;
      idle.push(this.#up);
      this.#up = null;
    }
    this.client.write(bytes);
  }
}

const inward = tls.createSecureContext({
  cert: readFileSync(env.BENCH_CERT),
  key: readFileSync(env.BENCH_KEY),
});
const outward = tls.createSecureContext({ ca: readFileSync(env.BENCH_CA) });

function intercept(socket: net.Socket): void {
  socket.on('error', () => socket.destroy());
  socket.once('data', (bytes: Buffer) => {
    const asked = readConnect(bytes);
    if (asked === null) return void socket.destroy();
    socket.pause();
    if (asked.early.length > 0) socket.unshift(asked.early);
    socket.write(CONNECTED);
    const how = { isServer: true, secureContext: inward, ALPNProtocols: ['http/1.1'] };
    const secure = new tls.TLSSocket(socket, how);
    secure.on('close', () => socket.destroy());
    return new Exchange(secure);
  });
}

const serve =
  env.BENCH_PATH === 'intercept'
    ? net.createServer({ noDelay: true }, intercept)
    : net.createServer({ pauseOnConnect: true, noDelay: true, allowHalfOpen: true }, tunnel);
serve.listen({ port: Number(env.BENCH_PORT), host: HOST, backlog: 4_096 });
