/** Idle HTTP/2 connections of the pool: within the same caps as those of HTTP/1.1, and no group at another's cost. */
import { once } from 'node:events';
import http2 from 'node:http2';
import { createServer } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { H2Conn } from '../../src/dial/h2-conn.ts';
import type { PoolLimits, UpstreamConn } from '../../src/dial/pool.ts';
import type { Denied } from '../../src/flow/reason.ts';
import { eventually } from '../helpers/world.ts';
import { createTestCa, listening, type PermitAsk, permitFor, portOf, testPool } from '../unit/dial/kit.ts';

const ca = createTestCa();
const issued = ca.issue({ names: ['api.test'] });
const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

/** Answers 204 over HTTP/2, to `/hold` without end; `streams`: as many at once. */
async function upstream(streams = 100) {
  const sessions: http2.ServerHttp2Session[] = [];
  const server = http2.createSecureServer({ ...issued, settings: { maxConcurrentStreams: streams } });
  server.on('session', (session) => {
    sessions.push(session);
    session.on('error', () => {});
  });
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {});
    if (headers[':path'] === '/hold') stream.respond({ ':status': 200 });
    else stream.respond({ ':status': 204 }, { endStream: true });
  });
  await listening(server);
  open.push(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  return { port: portOf(server), sessions };
}

const pool = (limits: Partial<PoolLimits> = {}) => testPool(ca, limits, open);
const at = (port: number, over: Partial<PermitAsk> = {}) => permitFor({ host: 'api.test', port, ...over });

function got(result: UpstreamConn | Denied | null): H2Conn {
  if (!(result instanceof H2Conn)) throw new Error('no connection of HTTP/2');
  return result;
}

/** One request, until the head of its answer is there. */
async function exchange(conn: H2Conn, path = '/'): Promise<void> {
  const answered = Promise.withResolvers<void>();
  const noop = (): void => {};
  conn.user = { onData: () => answered.resolve(), onDrain: noop, onEnd: noop, onClose: noop };
  conn.socket.write(`GET ${path} HTTP/1.1\r\nHost: api.test\r\n\r\n`);
  await answered.promise;
}

/** Used once, and idle. */
async function used({ made }: ReturnType<typeof pool>, port: number, over: Partial<PermitAsk>) {
  const conn = got(await made.open(at(port, over), true, undefined, true));
  const { busy } = made.stats();
  await exchange(conn);
  made.release(conn);
  await eventually(() => made.stats().busy === busy - 1);
}

describe('an idle HTTP/2 connection', () => {
  it('counts in the cap over all, and what was idle longest goes', async () => {
    const { port } = await upstream();
    const its = pool({ idleTotal: 2 });
    for (const identity of ['a', 'b', 'c']) await used(its, port, { identity });
    expect(its.made.stats()).toEqual({ idle: 2, busy: 0 });
    const kept = ['a', 'b', 'c'].map((identity) => its.made.take(at(port, { identity }), true, true));
    expect(kept.map((conn) => conn?.uses)).toEqual([undefined, 2, 2]);
    expect(its.made.stats()).toEqual({ idle: 0, busy: 2 });
  });

  it('of a group that has too many goes, not those of either protocol that another group has', async () => {
    const { port } = await upstream();
    const plain = await listening(createServer());
    open.push(() => plain.close());
    const its = pool({ idleTotal: 4 });
    const mine = { identity: 'mine', group: 'quiet' };
    const one = await its.made.open(at(portOf(plain), mine), false);
    if ('reason' in one) throw new Error(one.reason);
    its.made.release(one);
    await used(its, port, mine);
    for (let n = 0; n < 8; n += 1) await used(its, port, { identity: `f${n}`, group: 'flood' });
    expect(its.made.stats()).toEqual({ idle: 4, busy: 0 });
    expect(its.made.take(at(portOf(plain), mine), false)).toBe(one);
    expect(its.made.take(at(port, mine), true, true)?.uses).toBe(2);
  });

  it('counts in the cap of its key, where the upstream wants few streams on each', async () => {
    const { port, sessions } = await upstream(1);
    const { made } = pool({ idlePerKey: 2 });
    const conns: H2Conn[] = [];
    for (let n = 0; n < 4; n += 1) {
      expect(made.take(at(port), true, true)).toBeNull();
      const conn = got(await made.open(at(port), true, undefined, true));
      // Its answer comes behind the SETTINGS that allow one stream.
      await exchange(conn, '/hold');
      conns.push(conn);
    }
    expect(sessions).toHaveLength(4);
    for (const conn of conns) made.discard(conn);
    await eventually(() => made.stats().busy === 0);
    expect(made.stats().idle).toBe(2);
  });

  it('is not counted once it is gone, also when a stream that was never begun ends later', async () => {
    const { port, sessions } = await upstream();
    const { made } = pool();
    const conn = got(await made.open(at(port), true, undefined, true));
    const session = await eventually(() => sessions[0]);
    session.destroy();
    await once(session, 'close');
    await eventually(() => made.stats().busy === 0);
    made.discard(conn);
    expect(made.stats()).toEqual({ idle: 0, busy: 0 });
  });
});
