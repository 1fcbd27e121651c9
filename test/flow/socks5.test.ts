/** SOCKS5 on the proxy port: same rules, same carriers, same record as CONNECT. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  intercepted,
  placeholderIn,
  policy,
  profile,
  records,
  theRecord,
  tunnelled,
} from '../helpers/scene.ts';
import { greetingBytes, loginBytes, requestBytes, socks, socksTls, trySocks } from '../helpers/socks.ts';
import { askOnce, open, secure } from '../helpers/talk.ts';
import { httpUpstream, rawUpstream, type Upstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, movableClock, upstreamAuthority, type World } from '../helpers/world.ts';

const REAL = 'sk-proj-0123456789abcdefghijklmnopqrstuvwxyzABCD';

describe('SOCKS5', () => {
  const clock = movableClock();
  let world: World;
  let web: Upstream;
  let opaque: Upstream;
  let plain: Upstream | null;
  let raw: Awaited<ReturnType<typeof rawUpstream>>;
  const at = { web: '', opaque: '', raw: '', plain: '', literal: '' };

  beforeAll(async () => {
    web = await httpUpstream({ name: 'api.test' });
    opaque = await httpUpstream({ name: 'opaque.test' });
    plain = await httpUpstream({ host: '127.0.0.77', port: 80 }).catch(() => null);
    raw = await rawUpstream((socket) => {
      socket.on('data', (bytes: Buffer) => socket.write(bytes));
      socket.on('end', () => socket.end('bye'));
    });
    at.web = `api.test:${web.port}`;
    at.opaque = `opaque.test:${opaque.port}`;
    at.raw = `raw.test:${raw.port}`;
    at.plain = 'plain.test:80';
    at.literal = `127.0.0.1:${raw.port}`;
    const rules = [
      intercepted(at.web),
      tunnelled(at.opaque),
      tunnelled(at.raw, 'protocol: any'),
      tunnelled(at.literal, 'protocol: any'),
      tunnelled(`down.test:1`),
      'allow: "plain.test:80", addresses: [127.0.0.0/8]',
      'allow: "inner.test:443"',
      'deny: "bad.test", reason: Ask the platform team.',
    ];
    world = await makeWorld({
      policies: {
        'agents.yaml': policy(rules, { sources: '127.0.0.1/32', more: 'profile: keys\n' }),
        'tokens.yaml': policy(rules, { group: 'tokens', sources: '127.0.0.3/32' }).replace(
          ' }\n',
          ', token: required }\n',
        ),
        'profiles/keys.yaml': profile([{ env: 'API_KEY', from: 'env:REAL', hosts: [at.web] }]),
      },
      hosts: {
        ...Object.fromEntries(
          ['api.test', 'opaque.test', 'raw.test', 'down.test', 'inner.test'].map((name) => [
            name,
            ['127.0.0.1'],
          ]),
        ),
        'plain.test': ['127.0.0.77'],
      },
      env: { REAL },
      clock,
    });
  });
  afterAll(async () => {
    await world.stop();
    for (const one of [web, opaque, plain, raw]) await one?.close();
  });

  it('tunnels TLS to the upstream by name', async () => {
    const client = await socksTls(world.port, at.opaque, { ca: upstreamAuthority().certPem });
    expect((await client.ask(`GET /t HTTP/1.1\r\nHost: ${at.opaque}\r\n\r\n`)).body.toString()).toBe(
      'GET /t 0',
    );
    client.destroy();
  });

  it('intercepts, and swaps the placeholder for the key', async () => {
    const env = await askOnce(world.port, 'GET /env?format=json HTTP/1.1\r\nHost: sallyport\r\n\r\n');
    const client = await socksTls(world.port, at.web, { ca: world.caPem });
    const mine = placeholderIn(env.json(), 'API_KEY');
    const reply = await client.ask(
      `GET /by-socks HTTP/1.1\r\nHost: ${at.web}\r\nAuthorization: Bearer ${mine}\r\n\r\n`,
    );
    client.destroy();
    expect(reply.status).toBe(200);
    expect(web.seen.at(-1)?.headers.authorization).toBe(`Bearer ${REAL}`);
    expect(await theRecord(world, { kind: 'decision', path: '/by-socks' })).toMatchObject({
      via: 'socks5',
      stage: 'request',
      treat: 'intercept',
      keys: ['API_KEY'],
    });
  });

  it('carries plain HTTP to port 80', async (test) => {
    if (plain === null) return test.skip('port 80 may not be listened on here');
    const client = await socks(world.port, at.plain);
    const reply = await client.ask('GET /plain HTTP/1.1\r\nHost: plain.test\r\n\r\n');
    client.destroy();
    expect(reply.body.toString()).toBe('GET /plain 0');
    expect(await theRecord(world, { kind: 'decision', stage: 'request', path: '/plain' })).toMatchObject({
      via: 'socks5',
      treat: 'plain',
      verdict: 'allow',
    });
  });

  it('connects to an address that a rule lists', async () => {
    const client = await socks(world.port, at.literal);
    client.write('by address');
    expect((await client.bytes(10)).toString()).toBe('by address');
    client.destroy();
  });

  it('records one decision and one end, as of a CONNECT', async () => {
    const before = (await records(world, { via: 'socks5', host: 'raw.test' })).length;
    const client = await socks(world.port, at.raw);
    client.write('12345');
    await client.bytes(5);
    client.socket.end();
    await client.over();
    await eventually(
      async () => (await records(world, { via: 'socks5', host: 'raw.test' })).length === before + 2,
    );
    const [decision, end] = (await records(world, { via: 'socks5', host: 'raw.test' })).slice(before);
    expect(decision).toMatchObject({
      kind: 'decision',
      stage: 'connect',
      verdict: 'allow',
      method: 'CONNECT',
    });
    expect(end).toMatchObject({ kind: 'end', stage: 'connect', status: 200, ended: 'done', bytes_up: 5 });
    expect(end?.['request_id']).toBe(decision?.['request_id']);
  });

  it('sends on what came with the request, and what comes after the client has ended its side', async () => {
    const { client, code } = await trySocks(world.port, at.raw, { early: 'early' });
    expect(code).toBe(0);
    expect((await client.bytes(5)).toString()).toBe('early');
    client.socket.end();
    expect((await client.rest()).toString()).toBe('bye');
  });

  it('takes a handshake that comes byte by byte', async () => {
    const client = await open(world.port);
    for (const byte of Buffer.concat([greetingBytes(0, 2), loginBytes(''), requestBytes(at.raw)])) {
      client.write(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect([...(await client.bytes(14))].slice(0, 6)).toEqual([5, 2, 1, 0, 5, 0]);
    client.destroy();
  });

  it('takes a handshake in one piece, with no wait for answers', async () => {
    const client = await open(world.port);
    client.write(Buffer.concat([greetingBytes(0), requestBytes(at.raw), Buffer.from('hello')]));
    const bytes = await client.bytes(17);
    expect([...bytes.subarray(0, 4)]).toEqual([5, 0, 5, 0]);
    expect(bytes.subarray(12).toString()).toBe('hello');
    client.destroy();
  });

  it.each([
    ['a host of no rule', () => 'evil.test:443', 2, 'host_not_allowed', 403],
    ['a host that a rule denies', () => 'bad.test:443', 2, 'rule_denied', 403],
    ['a port of no rule', () => 'raw.test:22', 2, 'port_not_allowed', 403],
    ['a name that leads inside', () => 'inner.test:443', 2, 'address_not_allowed', 403],
    ['a metadata address', () => '169.254.169.254:80', 2, 'host_not_allowed', 403],
    ['an upstream that is down', () => 'down.test:1', 5, 'connect_failed', 502],
    ['a malformed name', () => 'a..test:443', 1, 'bad_authority', 400],
  ])(
    'refuses %s with the matching code and one record, and closes',
    async (_what, target, code, reason, status) => {
      const before = raw.connections();
      const known = new Set((await records(world, { kind: 'end', reason })).map((one) => one['request_id']));
      const { client, code: got } = await trySocks(world.port, target());
      expect(got).toBe(code);
      await client.over();
      client.destroy();
      const mine = await eventually(async () =>
        (await records(world, { kind: 'end', reason })).find((one) => !known.has(one['request_id'])),
      );
      expect(mine).toMatchObject({ via: 'socks5', status, ended: 'refused', group: 'agents' });
      expect(await records(world, { request_id: mine['request_id'] })).toHaveLength(2);
      expect(raw.connections()).toBe(before);
    },
  );

  it.each([
    [2, 'BIND'],
    [3, 'UDP-ASSOCIATE'],
    [9, null],
  ])('serves no command %i', async (command, method) => {
    const { client, code } = await trySocks(world.port, at.raw, { command });
    expect(code).toBe(7);
    await client.over();
    expect(await theRecord(world, { kind: 'end', reason: 'method_refused', method })).toMatchObject({
      status: 405,
    });
  });

  it('refuses a client that offers no method of ours, and an unknown address type', async () => {
    const client = await open(world.port);
    client.write(greetingBytes(1));
    expect([...(await client.rest())]).toEqual([5, 0xff]);
    const other = await open(world.port);
    other.write(Buffer.concat([greetingBytes(0), Buffer.from([5, 1, 0, 9])]));
    expect([...(await other.rest())].slice(0, 4)).toEqual([5, 0, 5, 8]);
    client.destroy();
    other.destroy();
  });

  it('takes a token as the password, and its group decides', async () => {
    const { record, token } = world.proxy.parts.tokens.create({ group: 'tokens' });
    const from = { localAddress: '127.0.0.3' };
    const { client, code } = await trySocks(world.port, at.raw, { ...from, token });
    expect(code).toBe(0);
    client.destroy();
    const decision = await theRecord(world, { kind: 'decision', via: 'socks5', identity: record.id });
    expect(decision).toMatchObject({ group: 'tokens', verdict: 'allow' });
    for (const bad of ['wrong', `${token}A`, 'a b', 'x'.repeat(255)]) {
      const refused = await trySocks(world.port, at.raw, { ...from, token: bad });
      expect(refused.code).toBe(-1);
      await refused.client.over();
    }
    expect((await trySocks(world.port, at.raw, { ...from, token: '' })).code).toBe(-1);
    expect((await trySocks(world.port, at.raw, from)).code).toBe(2);
    await theRecord(world, { kind: 'decision', via: 'socks5', reason: 'auth_required', host: 'raw.test' });
    expect(world.log() + JSON.stringify(await world.audit())).not.toContain(token.slice(-20));
  });

  it('cuts what a revoked token has open', async () => {
    const { record, token } = world.proxy.parts.tokens.create({ group: 'tokens' });
    const client = await socks(world.port, at.raw, { localAddress: '127.0.0.3', token });
    world.proxy.parts.tokens.revoke(record.id);
    await client.over();
    expect(await theRecord(world, { kind: 'end', identity: record.id })).toMatchObject({ ended: 'cut' });
  });

  it('ends a handshake that does not go on, and one that breaks off, with one record each', async () => {
    const slow = await open(world.port);
    slow.write(greetingBytes(0));
    await slow.bytes(2);
    clock.advance(11_000);
    expect([...(await slow.rest())].slice(0, 2)).toEqual([5, 1]);
    await theRecord(world, { kind: 'end', via: 'socks5', reason: 'client_timeout', ended: 'timeout' });
    const gone = await open(world.port, { localAddress: '127.0.0.1' });
    gone.write(greetingBytes(0));
    await gone.bytes(2);
    gone.reset();
    await theRecord(world, { kind: 'end', via: 'socks5', ended: 'client_abort', host: null });
    const half = await open(world.port);
    half.socket.end(greetingBytes(0).subarray(0, 1));
    expect([...(await half.rest())]).toEqual([5, 0xff]);
    half.destroy();
  });

  it('keeps the ClientHello gate: another server name gets an alert and nothing upstream', async () => {
    const before = opaque.connections();
    const client = await socks(world.port, at.opaque);
    await expect(
      secure(client, at.opaque, { ca: upstreamAuthority().certPem, servername: 'evil.test' }),
    ).rejects.toThrow();
    await theRecord(world, { kind: 'end', via: 'socks5', reason: 'sni_mismatch' });
    expect(opaque.connections()).toBe(before);
  });

  it('is told in its own words that no policy is loaded, after a login that it need not repeat', async () => {
    const empty = await makeWorld({ policies: { 'broken.yaml': 'version: 7\n' } });
    const { code } = await trySocks(empty.port, at.raw, { token: 'anything' });
    expect(code).toBe(1);
    await theRecord(empty, { kind: 'decision', via: 'socks5', reason: 'not_ready' });
    await empty.stop();
  });

  it('does not read HTTP on a connection that began as SOCKS', async () => {
    const client = await open(world.port);
    client.write(Buffer.concat([greetingBytes(0), Buffer.from(`GET http://${at.plain}/ HTTP/1.1\r\n\r\n`)]));
    const heard = await client.rest();
    expect([...heard.subarray(0, 4)]).toEqual([5, 0, 5, 1]);
    client.destroy();
  });
});
