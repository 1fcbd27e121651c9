/**
 * How a client of the fault matrix speaks through the proxy. A further transport is one more object: it begins a
 * request (whole or half), can do what clients do, and tells at the end what it saw.
 */
import type net from 'node:net';
import { intercepted, tunnelled } from '../helpers/scene.ts';
import { connectTls, open, type Talk } from '../helpers/talk.ts';
import type { World } from '../helpers/world.ts';
import { type Act, BYTE_ACTS, HTTP_ACTS } from './upstream-acts.ts';

export type ClientMove =
  | 'waits'
  | 'closes'
  | 'resets'
  | 'half-closes'
  | 'stops reading'
  /** HTTP/2: of the stream alone */
  | 'resets the stream'
  /** HTTP/2: GOAWAY, what is open may end */
  | 'goes away';
const CLIENT_MOVES: readonly ClientMove[] = ['waits', 'closes', 'resets', 'half-closes', 'stops reading'];

/** What the client saw in the end. */
export type Seen = {
  /** of the answer, or of the answer to CONNECT; 0: none */
  readonly status: number;
  readonly text: string;
  /** an answer that came whole, as its framing tells */
  readonly whole: boolean;
  /** how the connection ended: `open` where it did not */
  readonly ended: 'fin' | 'reset' | 'open';
};

export type Speaker = {
  move(kind: ClientMove): void;
  seen(): Seen;
  destroy(): void;
};

export type Transport = {
  readonly name: string;
  readonly secure: boolean;
  /** streams of one connection: what ends one leaves the others alone */
  readonly streams: boolean;
  /** part of the host names of its cells */
  readonly zone: string;
  readonly acts: readonly Act[];
  moves(act: Act): readonly ClientMove[];
  rule(at: string): string;
  /** `half`: the request is not complete */
  begin(world: World, at: string, half: boolean): Promise<Speaker>;
  /** requests recorded beside the connection itself */
  readonly requests: number;
};

export const INTERCEPTED: Transport = {
  name: 'intercepted HTTP/1.1',
  secure: true,
  streams: false,
  zone: 'web',
  acts: HTTP_ACTS,
  moves: () => CLIENT_MOVES,
  rule: (at) => intercepted(at),
  requests: 1,
  async begin(world, at, half) {
    const client = await connectTls(world.port, at, { ca: world.caPem });
    const speaker = watch(client);
    const framing = half ? 'Content-Length: 10\r\n\r\nhalf' : '\r\n';
    client.write(`${half ? 'POST' : 'GET'} /cell HTTP/1.1\r\nHost: ${at}\r\n${framing}`);
    return speaker;
  },
};

export const TUNNELLED: Transport = {
  name: 'a tunnel',
  secure: false,
  streams: false,
  zone: 'raw',
  acts: BYTE_ACTS,
  moves: () => CLIENT_MOVES,
  rule: (at) => tunnelled(at, 'protocol: any'),
  requests: 0,
  async begin(world, at, half) {
    const client = await open(world.port);
    const speaker = watch(client);
    // The client speaks at once: what it says waits for the upstream.
    client.write(`CONNECT ${at} HTTP/1.1\r\nHost: ${at}\r\n\r\n${half ? 'x' : 'hello'}`);
    return speaker;
  },
};

function watch(client: Talk): Speaker {
  const { socket } = client;
  let text = '';
  let ended: Seen['ended'] = 'open';
  socket.removeAllListeners('data');
  socket.on('data', (bytes: Buffer) => {
    text += bytes.toString('latin1');
  });
  socket.on('end', () => {
    if (ended === 'open') ended = 'fin';
    // As clients do: a connection that the peer ended is closed.
    socket.end();
  });
  socket.on('error', () => {
    ended = 'reset';
  });
  return {
    move: (kind) => move(client, socket, kind),
    seen: () => {
      // Interim answers are passed over.
      const answer = text.slice(Math.max(0, text.lastIndexOf('HTTP/1.1 ')));
      const status = Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1] ?? 0);
      return { status, text: answer, whole: isWhole(answer), ended };
    },
    destroy: () => client.destroy(),
  };
}

function move(client: Talk, socket: net.Socket, kind: ClientMove): void {
  if (kind === 'closes') socket.destroy();
  if (kind === 'resets') client.reset();
  if (kind === 'half-closes') socket.end();
  if (kind === 'stops reading') socket.pause();
}

function isWhole(text: string): boolean {
  const at = text.indexOf('\r\n\r\n');
  if (at === -1) return false;
  const body = text.slice(at + 4);
  if (/\r\nTransfer-Encoding: chunked/i.test(text.slice(0, at))) return /(?:^|\r\n)0\r\n\r\n$/.test(body);
  const length = /\r\nContent-Length: (\d+)/i.exec(text.slice(0, at))?.[1];
  return length !== undefined && body.length === Number(length);
}
