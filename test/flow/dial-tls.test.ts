import { once } from 'node:events';
import { createServer as createTcpServer, type Socket } from 'node:net';
import { createServer, type TLSSocket, type TlsOptions } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import { type ConnectResult, createDialer, type DialLimits } from '../../src/dial/connect.ts';
import { createResolver } from '../../src/dial/resolve.ts';
import type { Denied } from '../../src/flow/reason.ts';
import { createTestCa, type Issued, listening, permitFor, portOf, stillClock } from '../unit/dial/kit.ts';

const ca = createTestCa();
const stranger = createTestCa('Stranger root');
const impostor = createTestCa();
const good = ca.issue({ names: ['api.test', '*.wild.test'], ips: ['127.0.0.1'] });

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

async function upstream(issued: Issued, options: TlsOptions = {}) {
  const got: string[] = [];
  const seen: TLSSocket[] = [];
  const raw = new Set<Socket>();
  const server = createServer({ ...issued, ALPNProtocols: ['http/1.1'], ...options }, (socket) => {
    seen.push(socket);
    socket.on('error', () => socket.destroy());
    socket.on('data', (bytes: Buffer) => got.push(String(bytes)));
    socket.write('hello');
  });
  server.on('connection', (socket: Socket) => raw.add(socket));
  server.on('tlsClientError', () => {});
  await listening(server);
  open.push(() => {
    for (const socket of raw) socket.destroy();
    server.close();
  });
  return { port: portOf(server), got, seen, raw };
}

function dialer(limits: Partial<DialLimits> = {}) {
  const outcomes: ConnectResult[] = [];
  const names = ['api.test', 'a.wild.test', 'b.a.wild.test', 'api.wild.test', 'wild.test', 'other.test'];
  const resolver = createResolver({
    servers: ['127.0.0.1:1'],
    hosts: Object.fromEntries(names.map((name) => [name, ['127.0.0.1']])),
    clock: stillClock(),
  });
  open.push(() => resolver.close());
  const made = createDialer({
    resolver,
    own: () => ({ addresses: [], local: [], listeners: [] }),
    tls: { ca: [ca.pem] },
    onConnect: (outcome) => outcomes.push(outcome),
    limits,
  });
  return { ...made, outcomes };
}

function secured(result: TLSSocket | Denied): TLSSocket {
  if ('reason' in result) throw new Error(`refused: ${result.reason}: ${result.detail}`);
  open.push(() => result.destroy());
  return result;
}

const upstream_tls = (detail: RegExp): unknown => {
  const matching: unknown = expect.stringMatching(detail);
  return { kind: 'deny', reason: 'upstream_tls', detail: matching };
};

async function closed(sockets: Iterable<Socket>): Promise<void> {
  for (const socket of sockets) if (!socket.destroyed) await once(socket.resume(), 'close');
}

describe('a dial by TLS', () => {
  it('hands out a verified socket that speaks HTTP/1.1 and asked for the target’s name', async () => {
    const { port, seen } = await upstream(good);
    const dial = dialer();
    const socket = secured(await dial.tls(permitFor({ host: 'api.test', port }), {}));
    expect(socket).toMatchObject({ authorized: true, alpnProtocol: 'http/1.1', remoteAddress: '127.0.0.1' });
    await once(socket, 'data');
    expect(seen[0]?.servername).toBe('api.test');
    expect(dial.outcomes).toEqual(['ok']);
  });

  it('sends no name for a literal and checks its address', async () => {
    const { port, seen } = await upstream(good);
    const socket = secured(await dialer().tls(permitFor({ host: '127.0.0.1', port }), {}));
    await once(socket, 'data');
    expect(seen[0]?.servername).toBe(false);
    const nameOnly = await upstream(ca.issue({ names: ['127.0.0.1', 'api.test'], commonName: '127.0.0.1' }));
    const refused = await dialer().tls(permitFor({ host: '127.0.0.1', port: nameOnly.port }), {});
    expect(refused).toEqual(upstream_tls(/another name/));
  });

  it('takes a wildcard for one label, no more and no less', async () => {
    const { port } = await upstream(good);
    secured(await dialer().tls(permitFor({ host: 'a.wild.test', port }), {}));
    for (const host of ['b.a.wild.test', 'wild.test']) {
      expect(await dialer().tls(permitFor({ host, port }), {})).toEqual(upstream_tls(/another name/));
    }
    const partial = await upstream(ca.issue({ names: ['ap*.wild.test', 'a*i.wild.test'] }));
    const refused = await dialer().tls(permitFor({ host: 'api.wild.test', port: partial.port }), {});
    expect(refused).toEqual(upstream_tls(/another name/));
  });

  it.each([
    ['for another name', () => ca.issue({ names: ['other.test'] }), /another name/],
    ['with the name in its subject only', () => ca.issue({ commonName: 'api.test' }), /another name/],
    ['that has expired', () => ca.issue({ names: ['api.test'], from: -9, to: -1 }), /has expired/],
    ['that is not valid yet', () => ca.issue({ names: ['api.test'], from: 1 }), /not valid yet/],
    ['that is self-signed', () => ca.selfSigned({ names: ['api.test'] }), /self-signed/],
    [
      'of an authority that only has the name of a trusted one',
      () => impostor.issue({ names: ['api.test'] }),
      /trusted authority/,
    ],
    ['of an unknown authority', () => stranger.issue({ names: ['api.test'] }), /trusted authority/],
  ])('refuses a certificate %s before a byte is written', async (_what, issue, detail) => {
    const { port, got, raw } = await upstream(issue());
    const dial = dialer();
    expect(await dial.tls(permitFor({ host: 'api.test', port }), {})).toEqual(upstream_tls(detail));
    expect(dial.outcomes).toEqual(['tls']);
    await closed(raw);
    expect(got).toEqual([]);
  });

  it('refuses an upstream that speaks only TLS 1.1, plain text, or hangs up', async () => {
    const old = await upstream(good, {
      minVersion: 'TLSv1',
      maxVersion: 'TLSv1.1',
      ciphers: 'DEFAULT@SECLEVEL=0',
    });
    const plain = await listening(
      createTcpServer((socket) => void socket.on('error', () => {}).end('HTTP/1.1 200 OK\r\n\r\n')),
    );
    const deaf = await listening(createTcpServer((socket) => void socket.on('error', () => {}).end()));
    open.push(
      () => plain.close(),
      () => deaf.close(),
    );
    for (const port of [old.port, portOf(plain), portOf(deaf)]) {
      expect(await dialer().tls(permitFor({ host: 'api.test', port }), {})).toEqual(
        upstream_tls(/handshake/),
      );
    }
  });

  it('gives up on a handshake that does not go on, with connect_timeout', async () => {
    const held: Socket[] = [];
    const mute = await listening(createTcpServer((socket) => void held.push(socket)));
    open.push(() => {
      for (const socket of held) socket.destroy();
      mute.close();
    });
    const dial = dialer({ handshakeMs: 100 });
    expect(await dial.tls(permitFor({ host: 'api.test', port: portOf(mute) }), {})).toMatchObject({
      reason: 'connect_timeout',
    });
    expect(dial.outcomes).toEqual(['timeout']);
    await closed(held);
  });

  it('leaves with its client in the middle of the handshake', async () => {
    const gone = new AbortController();
    const mute = await listening(
      createTcpServer((socket) => {
        open.push(() => socket.destroy());
        gone.abort();
      }),
    );
    open.push(() => mute.close());
    const dial = dialer();
    const result = await dial.tls(permitFor({ host: 'api.test', port: portOf(mute) }), {
      signal: gone.signal,
    });
    expect(result).toMatchObject({ reason: 'connect_failed' });
    expect(dial.outcomes).toEqual([]);
  });
});

describe('a resumed session', () => {
  // One dialer, as in the product: a session of another one is a stranger's.
  const sessionOf = async (dial: ReturnType<typeof dialer>, host: string, port: number) => {
    let tell = (_session: Buffer): void => {};
    const told = new Promise<Buffer>((resolve) => {
      tell = resolve;
    });
    const socket = secured(
      await dial.tls(permitFor({ host, port }), { onSession: (session) => tell(session) }),
    );
    // TLS 1.3 brings tickets after the handshake: somebody has to read.
    socket.resume();
    return told;
  };

  it.each(['TLSv1.2', 'TLSv1.3'] as const)('is used again for its target (%s)', async (maxVersion) => {
    const { port } = await upstream(good, { maxVersion });
    const dial = dialer();
    const session = await sessionOf(dial, 'api.test', port);
    const again = secured(await dial.tls(permitFor({ host: 'api.test', port }), { session }));
    expect(again.getProtocol()).toBe(maxVersion);
    expect(again.isSessionReused()).toBe(true);
    expect(again.authorized).toBe(true);
  });

  it.each(['TLSv1.2', 'TLSv1.3'] as const)('never stands in for the name check (%s)', async (maxVersion) => {
    const { port } = await upstream(good, { maxVersion });
    const dial = dialer();
    const session = await sessionOf(dial, 'api.test', port);
    const refused = await dial.tls(permitFor({ host: 'other.test', port }), { session });
    expect(refused).toEqual(upstream_tls(/another name/));
  });

  it('is offered only to the target that this dialer verified it for', async () => {
    const { port } = await upstream(good);
    const dial = dialer();
    const session = await sessionOf(dial, 'api.test', port);
    for (const [by, host] of [
      [dialer(), 'api.test'],
      [dial, '127.0.0.1'],
    ] as const) {
      const socket = secured(await by.tls(permitFor({ host, port }), { session }));
      expect(socket.isSessionReused()).toBe(false);
    }
  });

  it.each(['TLSv1.2', 'TLSv1.3'] as const)(
    'is not told of a peer that failed the check (%s)',
    async (maxVersion) => {
      const { port } = await upstream(ca.issue({ names: ['other.test'] }), { maxVersion });
      const told: Buffer[] = [];
      await dialer().tls(permitFor({ host: 'api.test', port }), {
        onSession: (session) => told.push(session),
      });
      expect(told).toEqual([]);
    },
  );
});
