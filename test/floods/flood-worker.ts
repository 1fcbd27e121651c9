/**
 * One flood against a proxy, from an address of its own and a thread of its own: what it does must cost the group it
 * stands for, and nobody else. Ends with the thread.
 */
import { once } from 'node:events';
import net from 'node:net';

/** The group of this address floods. */
const FROM = '127.0.0.9';
const BATCH = 10;
/** Connections that never pause. */
const PIPELINES = 8;

export type FloodName =
  | 'silent'
  | 'slow heads'
  | 'slow bodies'
  | 'large heads'
  | 'pipelines'
  | 'refused hosts'
  | 'unknown hosts';

/** name of the flood, port of the proxy, authority of a plain upstream */
const [, , name = '', port = '', plain = ''] = process.argv;

function connect(): net.Socket {
  const socket = net.connect({ host: '127.0.0.1', port: Number(port), localAddress: FROM });
  socket.on('error', () => socket.destroy());
  socket.resume();
  return socket;
}

/** A connection that begins with `start` and says one more byte now and then. */
function trickle(start: string, more: string): void {
  const socket = connect();
  socket.write(start);
  const timer = setInterval(() => void socket.write(more), 200);
  socket.on('close', () => clearInterval(timer));
}

async function turn(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  setTimeout(resolve, 5);
  await promise;
}

/** Sends `text(n)` for ever, on connections that are opened again when they end. */
async function requests(text: (n: number) => string): Promise<void> {
  let n = 0;
  for (;;) {
    const socket = connect();
    const closed = once(socket, 'close').catch(() => []);
    for (let batch = 0; batch < 20 && !socket.destroyed; batch += 1) {
      let bytes = '';
      for (const last = n + BATCH; n < last; n += 1) bytes += text(n);
      if (!socket.write(bytes)) await Promise.race([once(socket, 'drain').catch(() => []), closed]);
      await turn();
    }
    socket.end();
    await Promise.race([closed, turn()]);
  }
}

/** One write of `text` after the other, as fast as the socket takes them. */
function pour(text: string): void {
  const socket = connect();
  const bytes = Buffer.from(text);
  const more = (): void => {
    while (!socket.destroyed && socket.write(bytes));
  };
  socket.on('drain', more);
  socket.on('close', () => pour(text));
  more();
}

/** Opens so many at once, and again what is closed. */
async function many(count: number, start: () => void): Promise<void> {
  for (let n = 0; n < count; n += 1) {
    start();
    if (n % BATCH === 0) await turn();
  }
}

const FLOODS: Readonly<Record<FloodName, () => Promise<void>>> = {
  silent: () => many(800, () => void connect()),
  'slow heads': () => many(400, () => trickle(`GET http://${plain}/ HTTP/1.1\r\nHost: ${plain}\r\nX-`, 'a')),
  'slow bodies': () =>
    many(400, () =>
      trickle(`POST http://${plain}/ HTTP/1.1\r\nHost: ${plain}\r\nContent-Length: 100000\r\n\r\n`, 'b'),
    ),
  'large heads': () =>
    requests(() => `GET http://${plain}/ HTTP/1.1\r\nHost: ${plain}\r\n${'X-A: b\r\n'.repeat(126)}\r\n`),
  pipelines: () =>
    many(PIPELINES, () => pour('GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n'.repeat(1_000))),
  'refused hosts': () =>
    requests((n) => `GET http://h${n}.evil.test/ HTTP/1.1\r\nHost: h${n}.evil.test\r\n\r\n`),
  'unknown hosts': () =>
    many(10_000, () => {
      const host = `h${Math.random().toString(36).slice(2)}.flood.test:443`;
      connect().write(`CONNECT ${host} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    }),
};

const [, flood] = Object.entries(FLOODS).find(([known]) => known === name) ?? [];
if (flood === undefined) throw new Error(`no flood ${name}`);
void flood();
