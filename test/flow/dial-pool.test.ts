import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { createServer as createTlsServer, TLSSocket } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import type { PoolLimits, UpstreamConn, UpstreamUser } from '../../src/dial/pool.ts';
import { PooledConn } from '../../src/dial/pooled-conn.ts';
import type { Denied } from '../../src/flow/reason.ts';
import { deadPort } from '../helpers/ports.ts';
import { createTestCa, listening, type PermitAsk, permitFor, portOf, testPool } from '../unit/dial/kit.ts';

const ca = createTestCa();
const issued = ca.issue({ names: ['api.test'] });
const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

/** Echoes, or only reads; `sockets` are the server's ends, in the order of arrival. */
async function upstream(secure = false, echo = true) {
  const sockets: Socket[] = [];
  const arrive = (socket: Socket): void => {
    sockets.push(socket);
    socket.on('error', () => socket.destroy());
    socket.on('data', (bytes: Buffer) => echo && socket.write(bytes));
  };
  const server = secure ? createTlsServer(issued, arrive) : createServer(arrive);
  await listening(server);
  open.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port: portOf(server), sockets };
}

const pool = (limits: Partial<PoolLimits> = {}) => testPool(ca, limits, open);
const at = (port: number, over: Partial<PermitAsk> = {}) => permitFor({ host: 'api.test', port, ...over });

function got(result: UpstreamConn | Denied | null): PooledConn {
  if (result === null || 'reason' in result) throw new Error(`no connection: ${result?.reason ?? 'null'}`);
  if (!(result instanceof PooledConn)) throw new Error('no connection of HTTP/1.1');
  return result;
}

/** A user that keeps what it hears, and a way to wait for the next thing. */
function listener() {
  const heard: string[] = [];
  let wake = (): void => {};
  const note = (what: string): void => {
    heard.push(what);
    wake();
  };
  const user: UpstreamUser = {
    onData: (bytes) => note(`data ${bytes.toString()}`),
    onDrain: () => note('drain'),
    onEnd: () => note('end'),
    onClose: (error) => note(`close ${error === null ? 'clean' : error.message}`),
  };
  const until = async (what: string): Promise<void> => {
    while (!heard.includes(what)) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  return { user, heard, until };
}

async function gone(socket: Socket): Promise<void> {
  if (!socket.closed) await once(socket, 'close');
}

async function exchange(conn: UpstreamConn, text: string): Promise<void> {
  const { user, until } = listener();
  conn.user = user;
  conn.socket.write(text);
  await until(`data ${text}`);
}

describe('a pooled connection', () => {
  it.each([false, true])(
    'is used again for the next request of the same kind (secure: %s)',
    async (secure) => {
      const { port, sockets } = await upstream(secure);
      const { made, stats } = pool();
      expect(made.take(at(port), secure)).toBeNull();
      const first = got(await made.open(at(port), secure));
      expect(first.socket instanceof TLSSocket).toBe(secure);
      expect([first.uses, stats()]).toEqual([1, { idle: 0, busy: 1 }]);
      await exchange(first, 'one');
      made.release(first);
      expect([first.user, stats()]).toEqual([null, { idle: 1, busy: 0 }]);
      const second = got(made.take(at(port), secure));
      expect(second).toBe(first);
      expect([second.uses, stats()]).toEqual([2, { idle: 0, busy: 1 }]);
      await exchange(second, 'two');
      expect(sockets).toHaveLength(1);
    },
  );

  it('is never given to two requests at once', async () => {
    const { port } = await upstream();
    const { made } = pool();
    const conn = got(await made.open(at(port), false));
    made.release(conn);
    made.release(conn);
    expect(made.take(at(port), false)).toBe(conn);
    expect(made.take(at(port), false)).toBeNull();
    expect(made.stats()).toEqual({ idle: 0, busy: 1 });
  });

  it('serves nobody else: another identity, port, snapshot, security or range of addresses', async () => {
    const { port } = await upstream();
    const { made } = pool();
    made.release(got(await made.open(at(port), false)));
    for (const other of [
      at(port, { identity: 'tok_b' }),
      at(port === 1 ? 2 : port - 1),
      at(port, { snapshotId: 's2' }),
      at(port, { host: '127.0.0.1' }),
      at(port, { addresses: [] }),
    ]) {
      expect(made.take(other, false)).toBeNull();
    }
    expect(made.take(at(port), true)).toBeNull();
    expect(made.take(at(port), false)).not.toBeNull();
  });

  it('resumes TLS for the same key only', async () => {
    const { port } = await upstream(true);
    const { made } = pool();
    const reused = async (permit: ReturnType<typeof at>): Promise<boolean> => {
      const { socket } = got(await made.open(permit, true));
      if (!(socket instanceof TLSSocket)) throw new Error('not TLS');
      const ticket = socket.isSessionReused() ? null : once(socket, 'session');
      await ticket;
      return socket.isSessionReused();
    };
    expect(await reused(at(port))).toBe(false);
    expect(await reused(at(port))).toBe(true);
    expect(await reused(at(port, { identity: 'tok_b' }))).toBe(false);
  });

  it('is dropped when the upstream closes it while idle', async () => {
    const { port, sockets } = await upstream();
    const { made, stats } = pool();
    const conn = got(await made.open(at(port), false));
    await exchange(conn, 'x');
    made.release(conn);
    sockets[0]?.end();
    await gone(conn.socket);
    expect(stats()).toEqual({ idle: 0, busy: 0 });
    expect(made.take(at(port), false)).toBeNull();
  });

  it('is dropped when the upstream speaks unasked', async () => {
    const { port, sockets } = await upstream();
    const { made, stats } = pool();
    const conn = got(await made.open(at(port), false));
    await exchange(conn, 'x');
    made.release(conn);
    sockets[0]?.write('HTTP/1.1 200 OK\r\n\r\n');
    await gone(conn.socket);
    expect(stats()).toEqual({ idle: 0, busy: 0 });
  });

  it('is not kept when unread bytes of the last answer wait in it', async () => {
    const { port, sockets } = await upstream();
    const { made, stats } = pool();
    const conn = got(await made.open(at(port), false));
    await exchange(conn, 'x');
    conn.socket.pause();
    sockets[0]?.write('more');
    while (conn.socket.readableLength === 0) {
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
    }
    made.release(conn);
    expect(conn.socket.destroyed).toBe(true);
    expect(stats()).toEqual({ idle: 0, busy: 0 });
  });

  it('that was paused by its last user reads again while idle', async () => {
    const { port, sockets } = await upstream();
    const { made } = pool();
    const conn = got(await made.open(at(port), false));
    await exchange(conn, 'x');
    conn.socket.pause();
    made.release(conn);
    sockets[0]?.write('unasked');
    await gone(conn.socket);
    expect(made.take(at(port), false)).toBeNull();
  });
});

describe('a user', () => {
  it('hears drain, end and close, in this order and close once', async () => {
    const { port, sockets } = await upstream(false, false);
    const { made, stats } = pool();
    const conn = got(await made.open(at(port), false));
    const { user, heard, until } = listener();
    conn.user = user;
    expect(conn.socket.write(Buffer.alloc(4 << 20))).toBe(false);
    await until('drain');
    sockets[0]?.end();
    await until('close clean');
    expect(heard.filter((what) => what !== 'drain')).toEqual(['end', 'close clean']);
    expect([conn.user, stats()]).toEqual([null, { idle: 0, busy: 0 }]);
  });

  it('hears the error with which the upstream broke off', async () => {
    const { port, sockets } = await upstream();
    const { made } = pool();
    const conn = got(await made.open(at(port), false));
    const { user, until } = listener();
    conn.user = user;
    conn.socket.write('x');
    await until('data x');
    sockets[0]?.resetAndDestroy();
    await until('close read ECONNRESET');
  });

  it('that throws loses its connection, and the process goes on', async () => {
    const { port } = await upstream();
    const { made, stats } = pool();
    const conn = got(await made.open(at(port), false));
    const { user, until } = listener();
    conn.user = {
      ...user,
      onData: () => {
        throw new Error('bug in a stage');
      },
    };
    conn.socket.write('x');
    await until('close bug in a stage');
    expect(stats()).toEqual({ idle: 0, busy: 0 });
  });

  it('hears nothing more after discard', async () => {
    const { port } = await upstream();
    const { made, stats } = pool();
    const conn = got(await made.open(at(port), false));
    const { user, heard } = listener();
    conn.user = user;
    made.discard(conn);
    await gone(conn.socket);
    made.release(conn);
    expect(heard).toEqual([]);
    expect(stats()).toEqual({ idle: 0, busy: 0 });
  });
});

describe('the caps', () => {
  async function fill(made: ReturnType<typeof pool>['made'], port: number, identities: readonly string[]) {
    const conns = [];
    for (const identity of identities) conns.push(got(await made.open(at(port, { identity }), false)));
    for (const conn of conns) made.release(conn);
    return conns;
  }

  it('keep so many idle connections a key, the warmest', async () => {
    const { port } = await upstream();
    const { made, stats } = pool({ idlePerKey: 2 });
    const [a, b, c] = await fill(made, port, ['a', 'a', 'a']);
    expect(stats()).toEqual({ idle: 2, busy: 0 });
    expect(a?.socket.destroyed).toBe(true);
    expect([
      made.take(at(port, { identity: 'a' }), false),
      made.take(at(port, { identity: 'a' }), false),
    ]).toEqual([c, b]);
  });

  it('keep so many in all, and drop what was idle longest', async () => {
    const { port } = await upstream();
    const { made, stats } = pool({ idleTotal: 2 });
    const [a, b, c] = await fill(made, port, ['a', 'b', 'c']);
    expect(stats()).toEqual({ idle: 2, busy: 0 });
    expect([a, b, c].map((conn) => conn?.socket.destroyed)).toEqual([true, false, false]);
  });

  it('of a group that has few are kept when another group has too many', async () => {
    const { port } = await upstream();
    const { made, stats } = pool({ idleTotal: 4 });
    const open = async (identity: string, group: string) => {
      const conn = got(await made.open(at(port, { identity, group }), false));
      made.release(conn);
      return conn;
    };
    const mine = await open('mine', 'quiet');
    for (let n = 0; n < 8; n += 1) await open(`f${n}`, 'flood');
    expect(stats().idle).toBe(4);
    expect(mine.socket.destroyed).toBe(false);
  });

  it('keep a connection idle for so long', async () => {
    const { port } = await upstream();
    const { made, clock, stats } = pool({ idleMs: 30_000 });
    const [conn] = await fill(made, port, ['a']);
    clock.tick(29_999);
    made.release(got(made.take(at(port, { identity: 'a' }), false)));
    clock.tick(30_000);
    expect(made.take(at(port, { identity: 'a' }), false)).toBeNull();
    expect(conn?.socket.destroyed).toBe(true);
    expect(stats()).toEqual({ idle: 0, busy: 0 });
  });

  it('close idle connections that nobody asks for', async () => {
    const { port } = await upstream();
    const { made, clock, stats } = pool({ idleMs: 40 });
    const [conn] = await fill(made, port, ['a']);
    clock.tick(41);
    await gone(conn?.socket ?? expect.fail('no connection'));
    expect(stats()).toEqual({ idle: 0, busy: 0 });
  });
});

describe('a cut', () => {
  it('by a new snapshot closes idle connections of older ones now and busy ones at release', async () => {
    const { port } = await upstream();
    const { made, stats } = pool();
    const [idle, busy, fresh] = [
      got(await made.open(at(port), false)),
      got(await made.open(at(port), false)),
      got(await made.open(at(port, { snapshotId: 's2' }), false)),
    ];
    made.release(idle);
    made.retire('s2');
    expect([idle.socket.destroyed, busy.socket.destroyed]).toEqual([true, false]);
    made.release(busy);
    made.release(fresh);
    expect([busy.socket.destroyed, fresh.socket.destroyed, stats()]).toEqual([
      true,
      false,
      { idle: 1, busy: 0 },
    ]);
  });

  it('of an identity closes its idle, busy and opening connections, and nobody else’s', async () => {
    const { port } = await upstream();
    const { made } = pool();
    const [idle, busy, other] = [
      got(await made.open(at(port), false)),
      got(await made.open(at(port), false)),
      got(await made.open(at(port, { identity: 'tok_b' }), false)),
    ];
    const { user, until } = listener();
    busy.user = user;
    made.release(idle);
    const opening = made.open(at(port), false);
    made.cutIdentity('tok_a');
    await until('close clean');
    expect(await opening).toMatchObject({ kind: 'deny', reason: 'connect_failed' });
    expect([idle.socket.destroyed, busy.socket.destroyed, other.socket.destroyed]).toEqual([
      true,
      true,
      false,
    ]);
    expect(made.stats()).toEqual({ idle: 0, busy: 1 });
  });

  it('at the end closes everything, and nothing opens afterwards', async () => {
    const { port } = await upstream();
    const { made, stats } = pool();
    const busy = got(await made.open(at(port), false));
    made.release(got(await made.open(at(port), false)));
    made.close();
    await gone(busy.socket);
    expect(stats()).toEqual({ idle: 0, busy: 0 });
    expect(await made.open(at(port), false)).toMatchObject({ reason: 'draining' });
  });

  it('by the client that asked ends the opening', async () => {
    const { port } = await upstream(true);
    const { made, stats } = pool();
    const left = new AbortController();
    const opening = made.open(at(port), true, left.signal);
    left.abort();
    expect(await opening).toMatchObject({ kind: 'deny' });
    expect(stats()).toEqual({ idle: 0, busy: 0 });
  });
});

describe('an opening', () => {
  it('passes the dialer’s refusal on', async () => {
    const { made, stats } = pool();
    expect(await made.open(at(await deadPort()), false)).toMatchObject({ reason: 'connect_failed' });
    const { port } = await upstream();
    expect(await made.open(at(port, { addresses: [] }), false)).toMatchObject({
      reason: 'address_not_allowed',
    });
    expect(stats()).toEqual({ idle: 0, busy: 0 });
  });
});
