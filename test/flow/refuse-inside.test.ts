/** `refuse: inside`: the refusal is told inside TLS of our own, to whoever asks there; nothing is dialled for it. */
import { once } from 'node:events';
import tls from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { intercepted, policy, records, theRecord, tunnelled } from '../helpers/scene.ts';
import { socksTls, trySocks } from '../helpers/socks.ts';
import { connect, connectTls, secure, type Talk, talk, tryConnect } from '../helpers/talk.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, movableClock, type World } from '../helpers/world.ts';

const MAX_INSIDE_PER_GROUP = 64;

describe('refuse: inside', () => {
  const clock = movableClock();
  let world: World;
  let web: Upstream;
  let at = '';

  beforeAll(async () => {
    web = await httpUpstream({ name: 'api.test', host: '127.0.0.79' });
    at = `api.test:${web.port}`;
    const rules = [
      intercepted(at),
      tunnelled('down.test:443'),
      'allow: "inner.test:443"',
      'deny: "bad.test", reason: Ask the platform team.',
    ];
    world = await makeWorld({
      policies: {
        'agents.yaml': policy(rules, { sources: '127.0.0.1/32', more: 'refuse: inside\n' }),
        'others.yaml': policy(rules, { group: 'others', sources: '127.0.0.2/32' }),
        'tokens.yaml': policy(rules, {
          group: 'tokens',
          sources: '127.0.0.3/32',
          more: 'refuse: inside\n',
        }).replace(' }\n', ', token: required }\n'),
      },
      hosts: { 'api.test': ['127.0.0.79'], 'down.test': ['127.0.0.78'], 'inner.test': ['127.0.0.79'] },
      settings: 'transparent: { tls: "127.0.0.1:0" }\n',
      clock,
    });
  });
  afterAll(async () => {
    await world.stop();
    await web.close();
  });

  const open = (to: string): Promise<Talk> => connectTls(world.port, to, { ca: world.caPem });

  it.each([
    ['a host of no rule', 'evil.test:443', 403, 'host_not_allowed'],
    ['a host that a rule denies', 'bad.test:443', 403, 'rule_denied'],
    ['a name that leads inside', 'inner.test:443', 403, 'address_not_allowed'],
    ['an address of no rule', '127.0.0.79:443', 403, 'host_not_allowed'],
    ['a name that does not exist', 'nowhere.invalid:443', 403, 'host_not_allowed'],
  ])('tells of %s inside, once, and closes', async (_what, to, status, reason) => {
    const before = web.connections();
    const client = await connectTls(world.port, to, {
      ca: world.caPem,
      ...(/^[\d.]+:/.test(to) ? { servername: null } : {}),
    });
    const reply = await client.ask(`GET /secret?x=1 HTTP/1.1\r\nHost: ${to}\r\n\r\n`);
    expect(reply.status).toBe(status);
    expect(reply.json()).toMatchObject({ reason, host: to, group: 'agents' });
    expect(reply.field('connection')).toBe('close');
    client.write(`GET /again HTTP/1.1\r\nHost: ${to}\r\n\r\n`);
    expect((await client.rest()).length).toBe(0);
    client.destroy();
    const id = String(reply.json()['request_id']);
    const mine = await eventually(async () => {
      const found = await records(world, { request_id: id });
      return found.length === 2 ? found : null;
    });
    expect(mine).toMatchObject([
      { kind: 'decision', stage: 'connect', verdict: 'deny', reason, via: 'connect', path: null },
      { kind: 'end', stage: 'connect', status, ended: 'refused', reason },
    ]);
    expect(await records(world, { stage: 'request', host: to.slice(0, to.indexOf(':')) })).toEqual([]);
    expect(web.connections()).toBe(before);
  });

  it('tells of a tunnel that could not be dialled: let in by its decision, 502 in its end', async () => {
    const client = await open('down.test:443');
    const reply = await client.ask('GET / HTTP/1.1\r\nHost: down.test\r\n\r\n');
    client.destroy();
    expect(reply.status).toBe(502);
    const id = String(reply.json()['request_id']);
    await theRecord(world, { kind: 'decision', request_id: id, verdict: 'allow' });
    expect(await theRecord(world, { kind: 'end', request_id: id })).toMatchObject({
      status: 502,
      reason: 'connect_failed',
    });
  });

  it('answers HEAD without a body, and a request whose body is still on its way', async () => {
    const head = await open('evil.test:443');
    const bare = await head.ask('HEAD / HTTP/1.1\r\nHost: evil.test\r\n\r\n', { head: true });
    expect(bare.status).toBe(403);
    expect((await head.rest()).length).toBe(0);
    const post = await open('evil.test:443');
    const reply = await post.ask('POST / HTTP/1.1\r\nHost: evil.test\r\nContent-Length: 100000\r\n\r\n');
    post.write('x'.repeat(100_000));
    expect(reply.status).toBe(403);
    await post.over();
    head.destroy();
    post.destroy();
  });

  it('does so through SOCKS5 as well', async () => {
    const client = await socksTls(world.port, 'evil.test:443', { ca: world.caPem });
    const reply = await client.ask('GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n');
    client.destroy();
    expect(reply.json()).toMatchObject({ reason: 'host_not_allowed' });
    await theRecord(world, { kind: 'end', via: 'socks5', reason: 'host_not_allowed', status: 403 });
  });

  it('answers a client that knows of no proxy, whose hello came first', async () => {
    const { port = 0 } = world.proxy.transparent.tls ?? {};
    const socket = tls.connect({ host: '127.0.0.1', port, servername: 'evil.test', ca: world.caPem });
    await once(socket, 'secureConnect');
    const reply = await talk(socket).ask('GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n');
    socket.destroy();
    expect(reply.json()).toMatchObject({ reason: 'host_not_allowed' });
    await theRecord(world, { kind: 'end', via: 'transparent-tls', reason: 'host_not_allowed', status: 403 });
  });

  it('still serves what is allowed', async () => {
    const client = await open(at);
    expect((await client.ask(`GET /ok HTTP/1.1\r\nHost: ${at}\r\n\r\n`)).status).toBe(200);
    client.destroy();
  });

  it.each([
    ['a port on which TLS is not expected', 'evil.test:22', '127.0.0.1', 403, 'host_not_allowed'],
    ['port 80', 'evil.test:80', '127.0.0.1', 403, 'host_not_allowed'],
    ['a group that does not ask for it', 'evil.test:443', '127.0.0.2', 403, 'host_not_allowed'],
    ['a client that nobody knows', 'evil.test:443', '127.0.0.9', 407, 'auth_required'],
    ['a client without its token', 'evil.test:443', '127.0.0.3', 407, 'auth_required'],
    ['a malformed host', 'evil..test:443', '127.0.0.1', 400, 'bad_authority'],
  ])('tells on the CONNECT of %s', async (_what, to, localAddress, status, reason) => {
    const { answer, client } = await tryConnect(world.port, to, { localAddress });
    expect(answer.status).toBe(status);
    expect(answer.json()).toMatchObject({ reason });
    client.destroy();
  });

  it('tells a SOCKS client on another port by its code', async () => {
    expect((await trySocks(world.port, 'evil.test:8443')).code).toBe(2);
  });

  it.each([
    ['bytes that are no TLS', 'SSH-2.0-x\r\n', 'not_tls'],
    ['nothing before its end', '', 'not_tls'],
  ])('closes on %s, and records it', async (_what, bytes, reason) => {
    const before = (await records(world, { kind: 'end', reason })).length;
    const client = await connect(world.port, 'evil.test:443');
    if (bytes !== '') client.write(bytes);
    client.socket.end();
    expect((await client.rest()).length).toBe(0);
    client.destroy();
    await eventually(async () => (await records(world, { kind: 'end', reason })).length === before + 1);
  });

  it('makes no certificate for another name than the one that was asked for', async () => {
    const client = await connect(world.port, 'evil.test:443');
    await expect(
      secure(client, 'evil.test:443', { ca: world.caPem, servername: 'api.test' }),
    ).rejects.toThrow();
    await theRecord(world, { kind: 'end', host: 'evil.test', reason: 'sni_mismatch' });
  });

  it('waits no longer than its limit, in each phase', async () => {
    const waiting = await connect(world.port, 'late1.test:443');
    const handshaken = await open('late2.test:443');
    clock.advance(11_000);
    await waiting.over();
    await handshaken.over();
    for (const host of ['late1.test', 'late2.test']) {
      expect(await theRecord(world, { kind: 'end', host })).toMatchObject({ ended: 'timeout', status: 0 });
    }
  });

  it('leaves one end when the client goes away', async () => {
    const client = await open('gone.test:443');
    client.reset();
    expect(await theRecord(world, { kind: 'end', host: 'gone.test' })).toMatchObject({
      ended: 'client_abort',
    });
  });

  it('is told on the CONNECT while too many of a group are open, and inside again afterwards', async () => {
    const held: Talk[] = [];
    for (let i = 0; i < MAX_INSIDE_PER_GROUP; i += 1) held.push(await connect(world.port, `h${i}.test:443`));
    const { answer } = await tryConnect(world.port, 'one-more.test:443');
    expect(answer.status).toBe(403);
    for (const one of held) one.reset();
    await eventually(async () => {
      const { client, answer: again } = await tryConnect(world.port, 'one-more.test:443');
      client.destroy();
      return again.status === 200;
    });
  });
});
