/** HTTP/2 from the client to an upstream that speaks HTTP/1.1: the same rules, records and answers. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AttackWorld, attackWorld, REAL } from '../helpers/attack-world.ts';
import { connectH2, type H2Client, replyTo, tlsWith } from '../helpers/h2.ts';
import { intercepted, policy, records, theRecord } from '../helpers/scene.ts';
import { httpUpstream, rawUpstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, type World } from '../helpers/world.ts';

describe('HTTP/2 from the client', () => {
  let a: AttackWorld;
  let client: H2Client;

  beforeAll(async () => {
    a = await attackWorld();
    client = await connectH2(a.world.port, a.at.bound, { ca: a.world.caPem });
  });
  afterAll(async () => {
    client.close();
    await a.stop();
  });

  it('is spoken with clients that offer nothing else, and recorded request by request', async () => {
    const reply = await client.ask('GET /one?q=1', { 'x-a': '1', cookie: ['a=1', 'b=2'] });
    expect([reply.status, reply.body.toString(), reply.code]).toEqual([200, 'GET /one?q=1 0', 0]);
    const seen = a.bound.seen.at(-1);
    expect(seen?.headers).toMatchObject({ host: a.at.bound, 'x-a': '1', cookie: 'a=1; b=2' });
    expect(await theRecord(a.world, { kind: 'end', path: '/one?…' })).toMatchObject({
      status: 200,
      ended: 'done',
      verdict: 'allow',
    });
  });

  it('bodies pass, with and without a length', async () => {
    const whole = await client.ask('POST /sized', { 'content-length': 5 }, 'hello');
    expect(whole.body.toString()).toBe('POST /sized 5');
    expect(a.bound.seen.at(-1)?.headers['content-length']).toBe('5');
    const streamed = await client.ask('POST /streamed', {}, Buffer.alloc(300_000, 'x'));
    expect(streamed.body.toString()).toBe('POST /streamed 300000');
    expect(a.bound.seen.at(-1)?.headers['transfer-encoding']).toBe('chunked');
    const empty = await client.ask('POST /empty');
    expect(empty.body.toString()).toBe('POST /empty 0');
    expect(a.bound.seen.at(-1)?.headers['content-length']).toBe('0');
  });

  it('a placeholder arrives as the real key', async () => {
    const reply = await client.ask('GET /key', { authorization: `Bearer ${a.mine}` });
    expect(reply.status).toBe(200);
    expect(a.bound.seen.at(-1)?.headers.authorization).toBe(`Bearer ${REAL}`);
  });

  it.each([
    ['a real key', (): object => ({ 'x-key': REAL }), 403, 'secret_leak'],
    ["another identity's placeholder", (): object => ({ 'x-key': a.theirs }), 403, 'placeholder_unknown'],
    ['a differing :authority', (): object => ({ ':authority': 'evil.test' }), 421, 'host_mismatch'],
    ['a differing port', (): object => ({ ':authority': 'key.test:1' }), 421, 'host_mismatch'],
    ['a differing host', (): object => ({ host: 'evil.test' }), 421, 'host_mismatch'],
    ['another :scheme', (): object => ({ ':scheme': 'http' }), 400, 'bad_request'],
    ['a large header', (): object => ({ 'x-big': 'a'.repeat(20_000) }), 431, 'header_too_large'],
    ['a method that echoes', (): object => ({ ':method': 'TRACE' }), 405, 'method_refused'],
    ['a method that no rule allows', (): object => ({ ':method': 'PATCH' }), 403, 'method_not_allowed'],
  ] as const)(
    '%s is refused on its stream, and the connection serves on',
    async (_name, fields, status, reason) => {
      const before = a.arrived();
      const reply = await client.ask('GET /', { ...fields() });
      expect([reply.status, reply.json()['reason']]).toEqual([status, reason]);
      expect(reply.headers['content-type']).toBe('application/problem+json');
      expect(a.arrived()).toBe(before);
      const id = reply.json()['request_id'];
      expect(await theRecord(a.world, { kind: 'end', request_id: id })).toMatchObject({
        ended: 'refused',
        reason,
      });
      expect((await client.ask('GET /on')).status).toBe(200);
    },
  );

  it('a refused upload is answered before its end, and the stream is closed without an error', async () => {
    const stream = client.request('PATCH /up');
    stream.write('some');
    const reply = await replyTo(stream);
    expect([reply.status, reply.code]).toEqual([403, 0]);
  });

  it('HEAD has no body', async () => {
    const reply = await client.ask('HEAD /head');
    expect([reply.status, reply.body.length, reply.code]).toEqual([200, 0, 0]);
  });

  it('http/1.1 stays the choice where the client offers both', async () => {
    const socket = await tlsWith(a.world.port, a.at.other, { ca: a.world.caPem, alpn: ['h2', 'http/1.1'] });
    expect(socket.alpnProtocol).toBe('http/1.1');
    socket.destroy();
  });

  it('a client that leaves a stream ends its request upstream alone', async () => {
    const stream = client.request('POST /leaves');
    stream.on('error', () => {});
    stream.write('x');
    await eventually(
      async () => (await records(a.world, { kind: 'decision', path: '/leaves' })).length === 1,
    );
    stream.close(8);
    expect(await theRecord(a.world, { kind: 'end', path: '/leaves' })).toMatchObject({
      ended: 'client_abort',
    });
    expect((await client.ask('GET /still')).status).toBe(200);
  });
});

describe('HTTP/2 from the client, streamed', () => {
  let raw: Awaited<ReturnType<typeof rawUpstream>>;
  let prefer: Awaited<ReturnType<typeof httpUpstream>>;
  let world: World;
  let at = '';
  const answers: Record<string, string[]> = {
    '/trailers': ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n'],
    '/interim': [
      'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n',
      'HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nConnection: close, x-hop\r\nX-Hop: 1\r\nAlt-Svc: h3=":1"\r\nContent-Length: 2\r\n\r\nok',
    ],
    '/cut': ['HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf'],
    '/until-eof': ['HTTP/1.1 200 OK\r\n\r\nall of it'],
    '/none': ['HTTP/1.1 204 No Content\r\n\r\n'],
  };

  beforeAll(async () => {
    raw = await rawUpstream(
      (socket) => {
        socket.on('data', (bytes: Buffer) => {
          const path = bytes.toString('latin1').split(' ')[1] ?? '';
          for (const part of answers[path] ?? []) socket.write(part);
          if (path === '/cut' || path === '/until-eof') socket.end();
        });
      },
      { name: 'raw.test' },
    );
    prefer = await httpUpstream({ name: 'prefer.test' });
    at = `raw.test:${raw.port}`;
    world = await makeWorld({
      policies: {
        'agents.yaml': policy([intercepted(at), intercepted(`prefer.test:${prefer.port}`, 'http2: prefer')]),
      },
      hosts: { 'raw.test': ['127.0.0.1'], 'prefer.test': ['127.0.0.1'] },
    });
  });
  afterAll(async () => {
    await world.stop();
    await raw.close();
    await prefer.close();
  });

  const ask = async (path: string) => {
    const client = await connectH2(world.port, at, { ca: world.caPem });
    const reply = await client.ask(`GET ${path}`);
    client.close();
    return reply;
  };

  it('trailers of the upstream come as trailers', async () => {
    const reply = await ask('/trailers');
    expect([reply.body.toString(), reply.trailers['x-sum']]).toEqual(['ok', '7']);
  });

  it('interim responses pass; fields of one connection and Alt-Svc do not', async () => {
    const reply = await ask('/interim');
    expect(reply.interim).toEqual([103]);
    expect(Object.keys(reply.headers).sort()).toEqual([':status', 'content-length', 'set-cookie']);
    expect(reply.headers['set-cookie']).toEqual(['a=1', 'b=2']);
  });

  it('a body that the upstream cuts short is reset, never ended', async () => {
    const reply = await ask('/cut');
    expect([reply.status, reply.body.toString(), reply.code]).toEqual([200, 'half', 2]);
    expect(await theRecord(world, { kind: 'end', path: '/cut' })).toMatchObject({ ended: 'upstream_abort' });
  });

  it('a body that ends with the upstream connection ends the stream', async () => {
    const reply = await ask('/until-eof');
    expect([reply.body.toString(), reply.code]).toEqual(['all of it', 0]);
  });

  it('204 has neither body nor length', async () => {
    const reply = await ask('/none');
    expect([reply.status, reply.body.length, reply.headers['content-length']]).toEqual([204, 0, undefined]);
  });

  it('`http2: prefer` offers it to clients that speak both, and http/1.1 to the rest', async () => {
    const name = `prefer.test:${prefer.port}`;
    const client = await connectH2(world.port, name, { ca: world.caPem, alpn: ['http/1.1', 'h2'] });
    expect((await client.ask('GET /p')).body.toString()).toBe('GET /p 0');
    client.close();
    const socket = await tlsWith(world.port, name, { ca: world.caPem, alpn: ['http/1.1'] });
    expect(socket.alpnProtocol).toBe('http/1.1');
    socket.destroy();
  });
});
