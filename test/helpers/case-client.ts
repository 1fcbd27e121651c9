/** Clients of the live cases: bytes as given, from a source address of the case's own, with time limits. */

import { readFileSync } from 'node:fs';
import net from 'node:net';
import tls from 'node:tls';

export type Heard = {
  /** everything that came back, latin-1 */
  readonly text: string;
  /** the proxy ended or broke the connection before the limit */
  readonly closed: boolean;
  /** error code of the socket, if any */
  readonly error: string | null;
};

export type Say = {
  /** default 127.0.0.1 */
  readonly host?: string;
  readonly port: number;
  /** source address; also what finds the case's audit records */
  readonly from: string;
  readonly bytes: Buffer;
  readonly segment?: number | undefined;
  readonly gapMs?: number | undefined;
  /** wait for this before `bytes` are sent: the head of an answer to `opening` */
  readonly opening?: Buffer;
  /** after the opening: TLS with this CA */
  readonly tls?: { readonly ca: string; readonly servername: string };
};

/** What the cases' README prescribes: write all, wait, half-close. */
const HOLD_MS = 60;
const LIMIT_MS = 8_000;

/** Loads a case file. */
export function loadCases<Row>(name: string): Row[] {
  const rows: unknown = JSON.parse(readFileSync(new URL(`../cases/${name}.json`, import.meta.url), 'utf8'));
  return rows as Row[];
}

/** The n-th source address below a /16 of loopback. */
export function sourceAddress(net16: string, index: number): string {
  return `${net16}.${1 + Math.floor(index / 200)}.${1 + (index % 200)}`;
}

/** Runs the conversation to its end. Never rejects: what went wrong is in `error`. */
export async function say(ask: Say): Promise<Heard> {
  const { host = '127.0.0.1', port, from } = ask;
  const socket = net.connect({ host, port, localAddress: from, allowHalfOpen: true, noDelay: true });
  const limit = setTimeout(() => socket.destroy(), LIMIT_MS);
  let late = false;
  const limitHit = setTimeout(() => {
    late = true;
  }, LIMIT_MS - 10);
  try {
    let stream: net.Socket = socket;
    let opened = '';
    if (ask.opening !== undefined) {
      const first = listen(socket);
      socket.write(ask.opening);
      await until(() => first.text().includes('\r\n\r\n') || first.over());
      opened = first.text();
      if (!opened.startsWith('HTTP/1.1 200') || first.over())
        return { text: opened, closed: first.over(), error: first.error() };
      first.stop();
    }
    if (ask.tls !== undefined) {
      const secure = tls.connect({ socket, ...ask.tls });
      const heard = listen(secure);
      await until(() => secure.authorized || heard.over());
      if (heard.over()) return { text: opened, closed: true, error: heard.error() ?? 'no handshake' };
      heard.stop();
      stream = secure;
    }
    const heard = listen(stream);
    await write(stream, ask);
    await pause(HOLD_MS);
    stream.end();
    await until(() => heard.over());
    return { text: opened + heard.text(), closed: !late, error: heard.error() };
  } finally {
    clearTimeout(limit);
    clearTimeout(limitHit);
    socket.destroy();
  }
}

async function write(stream: net.Socket, ask: Say): Promise<void> {
  const size = ask.segment ?? ask.bytes.length;
  for (let at = 0; at < ask.bytes.length; at += size) {
    if (stream.destroyed) return;
    stream.write(ask.bytes.subarray(at, at + size));
    if (ask.gapMs !== undefined) await pause(ask.gapMs);
  }
}

type Ear = { text(): string; over(): boolean; error(): string | null; stop(): void };

function listen(stream: net.Socket): Ear {
  let text = '';
  let over = false;
  let error: string | null = null;
  const onData = (bytes: Buffer): void => {
    text += bytes.toString('latin1');
  };
  stream.on('data', onData);
  // A stream that an earlier ear paused does not flow again by itself.
  stream.resume();
  stream.on('error', (problem: NodeJS.ErrnoException) => {
    error = problem.code ?? problem.message;
    over = true;
  });
  stream.on('end', () => {
    over = true;
  });
  stream.on('close', () => {
    over = true;
  });
  return {
    text: () => text,
    over: () => over,
    error: () => error,
    stop: () => void stream.off('data', onData).pause(),
  };
}

/** Polls: the sockets' own limit ends it. */
async function until(done: () => boolean): Promise<void> {
  while (!done()) await pause(2);
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Runs `work` over all items, so many at once. */
export async function inLanes<Item, Result>(
  items: readonly Item[],
  lanes: number,
  work: (item: Item, index: number, lane: number) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  let next = 0;
  const lane = async (number: number): Promise<void> => {
    for (let index = next++; index < items.length; index = next++) {
      const item = items[index];
      if (item !== undefined) results[index] = await work(item, index, number);
    }
  };
  await Promise.all(Array.from({ length: lanes }, (_, number) => lane(number)));
  return results;
}

/** Status codes of the answers in `text`, the interim ones left out. */
export function statusesOf(text: string): number[] {
  return [...text.matchAll(/HTTP\/1\.[01] ([2-9]\d\d) /g)].map((match) => Number(match[1]));
}
