/**
 * Upstreams that misbehave: each is a server of its own that goes on until its phase, says so, and does its fault
 * when it is told to. Used by the fault matrix; nothing here knows what the proxy should make of it.
 */
import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import { deadPort } from '../helpers/ports.ts';
import { upstreamContext } from '../helpers/world.ts';
import { hearStreams } from './h2-acts.ts';

export type Fault = 'reset' | 'close' | 'half-close' | 'stall' | 'lie' | 'refuse';
export type Phase = 'connect' | 'handshake' | 'before head' | 'mid head' | 'mid body' | 'after body';

export type Act = {
  readonly name: string;
  readonly phase: Phase;
  readonly fault: Fault;
  /** inside TLS, said before the fault */
  readonly says?: string;
  /** a lie: said as the fault */
  readonly lie?: string | Buffer;
  /** the certificate is for this name instead */
  readonly calls?: string;
  /** the body ends with the connection */
  readonly untilEnd?: boolean;
  /** what `says` and `lie` come to as frames of HTTP/2 for the stream of the request */
  readonly frames?: { readonly says: Frames; readonly lie?: Frames };
};

type Frames = (stream: number) => Buffer;

export type Actor = {
  readonly port: number;
  /** the phase is reached */
  readonly ready: Promise<void>;
  /** does the fault */
  act(): void;
  /** every connection it accepted was ended by the proxy, or is gone */
  gone(): boolean;
  close(): Promise<void>;
};

const HEAD = 'HTTP/1.1 200 OK\r\nX-Is: it\r\n';
const SIZED = `${HEAD}Content-Length: 10\r\n\r\n`;
const CHUNKED = `${HEAD}Transfer-Encoding: chunked\r\n\r\n`;
const breaks = (phase: Phase, what: string, more: Partial<Act>): Act[] =>
  (['reset', 'close', 'half-close', 'stall'] as const).map((fault) => ({
    name: `${fault} ${what}`,
    phase,
    fault,
    ...more,
  }));
const lie = (phase: Phase, name: string, text: string | Buffer, more: Partial<Act> = {}): Act => ({
  name,
  phase,
  fault: 'lie',
  lie: text,
  ...more,
});
/** RFC 8446 section 6: fatal handshake_failure. */
const ALERT = Buffer.from([0x15, 3, 3, 0, 2, 2, 40]);

const CONNECT: readonly Act[] = [
  { name: 'refuse', phase: 'connect', fault: 'refuse' },
  { name: 'reset at once', phase: 'connect', fault: 'reset' },
  { name: 'close at once', phase: 'connect', fault: 'close' },
];

/** What an upstream of HTTP inside TLS can do. */
export const HTTP_ACTS: readonly Act[] = [
  ...CONNECT,
  ...breaks('handshake', 'in the handshake', {}).filter(({ fault }) => fault !== 'stall'),
  lie('handshake', 'a TLS alert', ALERT),
  lie('handshake', 'no TLS', 'HTTP/1.1 400 Bad Request\r\n\r\n'),
  { name: 'a certificate for another name', phase: 'handshake', fault: 'lie', calls: 'else.test' },
  ...breaks('before head', 'before the head', { says: '' }),
  lie('before head', 'no HTTP', 'SSH-2.0-x\r\n', { says: '' }),
  lie('before head', 'a bad status line', 'HTTP/1.1 2 OK\r\n\r\n', { says: '' }),
  lie('before head', 'an unasked 101', 'HTTP/1.1 101 Switching Protocols\r\n\r\n', { says: '' }),
  lie('before head', 'endless 1xx', 'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(20), { says: '' }),
  ...breaks('mid head', 'in the head', { says: HEAD }),
  lie('mid head', 'a bad field', 'A B: c\r\n\r\n', { says: HEAD }),
  lie('mid head', 'two lengths', 'Content-Length: 1\r\nContent-Length: 2\r\n\r\nx', { says: HEAD }),
  ...breaks('mid body', 'in a sized body', { says: `${SIZED}hello` }),
  ...breaks('mid body', 'in a chunked body', { says: `${CHUNKED}5\r\nhello\r\n` }),
  ...breaks('mid body', 'in a body until the end', { says: `${HEAD}\r\nhello`, untilEnd: true }),
  lie('mid body', 'a bad chunk', 'xyz\r\n', { says: `${CHUNKED}5\r\nhello\r\n` }),
  lie('mid body', 'a bad trailer', '0\r\nno colon\r\n\r\n', { says: `${CHUNKED}5\r\nhello\r\n` }),
  ...breaks('after body', 'after the body', { says: `${SIZED}helloworld` }),
  lie('after body', 'garbage after the body', 'garbage', { says: `${SIZED}helloworld` }),
  lie('after body', 'an unasked answer', `${SIZED}helloworld`, { says: `${CHUNKED}2\r\nhi\r\n0\r\n\r\n` }),
];

/** What an upstream of opaque bytes can do. */
export const BYTE_ACTS: readonly Act[] = [
  ...CONNECT,
  ...breaks('before head', 'before any byte', { says: '' }),
  ...breaks('mid body', 'between bytes', { says: 'hello' }),
];

/** A server for one act, asked by the name `name`; `secure`: HTTP inside TLS, else opaque bytes. */
export async function startActor(act: Act, name: string, secure: boolean): Promise<Actor> {
  const ready = Promise.withResolvers<void>();
  /** those that the proxy has not ended */
  const sockets = new Set<net.Socket>();
  const all = new Set<net.Socket>();
  /** the TCP socket below one of TLS */
  const raws = new WeakMap<net.Socket, net.Socket>();
  /** of HTTP/2: the stream that was asked on last */
  const streams = new WeakMap<net.Socket, number>();
  let speaker: net.Socket | null = null;
  let told = false;
  const reached = (on: net.Socket): void => {
    speaker = on;
    ready.resolve();
    // Later connections come when the time to act is over: they are treated alike.
    if (told) perform(on);
  };
  const perform = (on: net.Socket): void => {
    if (act.fault === 'lie') {
      const lie = act.frames?.lie?.(streams.get(on) ?? 0) ?? act.lie;
      if (lie !== undefined) return void on.write(lie);
    }
    const raw = raws.get(on) ?? on;
    if (act.fault === 'reset') raw.resetAndDestroy();
    // A certificate and a stall need no more words; a FIN of TLS goes with close_notify.
    if (act.fault === 'half-close') on.end();
    if (act.fault === 'close' && act.untilEnd === true) on.end();
    else if (act.fault === 'close') on.destroy();
  };
  const server = net.createServer({ allowHalfOpen: true }, (raw) => {
    sockets.add(raw);
    all.add(raw);
    raw.on('error', () => raw.destroy());
    raw.on('end', () => sockets.delete(raw));
    raw.on('close', () => sockets.delete(raw));
    if (act.phase === 'connect') return reached(raw);
    if (act.calls !== undefined) ready.resolve();
    // Words of TLS itself go around it.
    const speaksTls = secure && (act.phase !== 'handshake' || act.calls !== undefined);
    if (!speaksTls) {
      if (secure) return void raw.once('data', () => reached(raw));
      return listen(raw);
    }
    const secureContext = upstreamContext(act.calls ?? name);
    const inner = new tls.TLSSocket(raw, {
      isServer: true,
      secureContext,
      ...(act.frames === undefined ? {} : { ALPNProtocols: ['h2'] }),
    });
    raws.set(inner, raw);
    inner.on('error', () => inner.destroy());
    inner.on('end', () => sockets.delete(raw));
    inner.on('close', () => sockets.delete(raw));
    return listen(inner);
  });
  const listen = (socket: net.Socket): void => {
    socket.on('end', () => {
      if (told && act.fault !== 'stall') socket.end();
    });
    if (act.phase === 'handshake') return void socket.resume();
    if (act.frames !== undefined) {
      const { says } = act.frames;
      return hearStreams(socket, (stream) => {
        streams.set(socket, stream);
        socket.write(says(stream));
        reached(socket);
      });
    }
    let heard = '';
    let said = false;
    socket.on('data', (bytes: Buffer) => {
      heard += bytes.toString('latin1');
      if (said || (secure && !heard.includes('\r\n\r\n'))) return;
      said = true;
      if (act.says !== undefined && act.says !== '') socket.write(act.says);
      reached(socket);
    });
  };
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const isRefused = act.fault === 'refuse';
  const listens = typeof address === 'object' && address !== null ? address.port : 0;
  const port = isRefused ? await deadPort() : listens;
  if (isRefused) {
    server.close();
    ready.resolve();
  }
  return {
    port,
    ready: ready.promise,
    act: () => {
      told = true;
      if (speaker !== null) perform(speaker);
    },
    gone: () => sockets.size === 0,
    close: async () => {
      for (const socket of all) socket.destroy();
      if (server.listening) {
        server.close();
        await once(server, 'close');
      }
    },
  };
}
