/**
 * Every reason of contract section 5 that this version gives, provoked through a live proxy: the answer in all its
 * parts, one decision, one end, one count, and a process that goes on.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { REASONS, type Reason } from '../../src/flow/reason.ts';
import { decide, theHeld } from '../helpers/approvals.ts';
import { type DnsStub, startDnsStub } from '../helpers/dns-stub.ts';
import { deadPort } from '../helpers/ports.ts';
import {
  intercepted,
  metricSum,
  placeholderIn,
  policy,
  profile,
  records,
  theRecord,
  tunnelled,
} from '../helpers/scene.ts';
import { askOnce, connectText, connectTls, type Reply, tryConnect } from '../helpers/talk.ts';
import { httpUpstream, rawUpstream, type Upstream } from '../helpers/upstream.ts';
import { makeWorld, type World } from '../helpers/world.ts';

const REAL = 'sk-proj-0123456789abcdefghijklmnopqrstuvwxyz';

describe('refusals', () => {
  let dns: DnsStub;
  let web: Upstream;
  let bad: Awaited<ReturnType<typeof rawUpstream>>;
  let plain: Upstream;
  let closed = 0;
  let world: World;
  let key = '';
  let otherKey = '';

  beforeAll(async () => {
    web = await httpUpstream({ name: 'api.test' });
    plain = await httpUpstream();
    bad = await rawUpstream(
      (socket) => socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n')),
      {
        name: 'api.test',
      },
    );
    closed = await deadPort();
    dns = await startDnsStub({
      'api.test': { a: ['127.0.0.1'] },
      'wrong.test': { a: ['127.0.0.1'] },
      'pay.test': { a: ['127.0.0.1'] },
      'inner.test': { a: ['10.1.2.3'] },
      'silent.test': { silent: true },
    });
    const api = `api.test:${web.port}`;
    world = await makeWorld({
      policies: {
        'agents.yaml': policy(
          [
            `deny: "${api}", paths: ["/never/**"], reason: Not this one.`,
            `allow: "${api}", methods: [GET, POST], paths: ["/v1/**", "/never/**"], addresses: [127.0.0.0/8]`,
            intercepted(`api.test:${bad.port}`),
            intercepted(`wrong.test:${web.port}`),
            tunnelled(`api.test:${closed}`),
            tunnelled(`silent.test:443`),
            intercepted(`plain.test:${plain.port}`),
            `allow: "inner.test"`,
            `approve: "pay.test", methods: [POST], wait: 500ms, addresses: [127.0.0.0/8]`,
            `approve: "pay.test", methods: [PUT], wait: 1m, addresses: [127.0.0.0/8]`,
          ],
          { sources: '127.0.0.1/32', more: 'profile: keys\n' },
        ),
        'others.yaml': policy([intercepted(api)], {
          group: 'others',
          sources: '127.0.0.2/32',
          more: 'profile: keys\n',
        }),
        'locked.yaml': policy([intercepted(api)], { group: 'locked', sources: '127.0.0.3/32' }).replace(
          'sources: [127.0.0.3/32]',
          'sources: [127.0.0.3/32], token: required',
        ),
        'profiles/keys.yaml': profile([
          { env: 'API_KEY', from: 'env:REAL', hosts: [api] },
          { env: 'GONE_KEY', from: 'env:GONE', hosts: [api] },
        ]),
      },
      dns: [dns.address],
      env: { REAL },
    });
    const env = await askOnce(world.port, 'GET /env?format=json HTTP/1.1\r\nHost: sallyport\r\n\r\n');
    key = placeholderIn(env.json(), 'API_KEY');
    const gone = placeholderIn(env.json(), 'GONE_KEY');
    const others = await askOnce(world.port, 'GET /env?format=json HTTP/1.1\r\nHost: sallyport\r\n\r\n', {
      localAddress: '127.0.0.2',
    });
    otherKey = placeholderIn(others.json(), 'API_KEY');
    goneKey = gone;
  });
  let goneKey = '';
  afterAll(async () => {
    await world.stop();
    await web.close();
    await plain.close();
    await bad.close();
    await dns.close();
  });

  type Ask = () => Promise<Reply>;
  const connecting = (at: () => string, headers?: string): Ask => {
    const options = headers === undefined ? {} : { headers };
    return async () => (await tryConnect(world.port, at(), options)).answer;
  };
  const raw =
    (text: () => string): Ask =>
    () =>
      askOnce(world.port, text());
  const inside =
    (request: () => string, at = () => `api.test:${web.port}`): Ask =>
    async () => {
      const client = await connectTls(world.port, at(), { ca: world.caPem });
      const reply = await client.ask(request(), { head: request().startsWith('HEAD') });
      client.destroy();
      return reply;
    };
  const host = () => `Host: api.test:${web.port}\r\n`;

  const paying = (method: string): Ask =>
    inside(
      () => `${method} / HTTP/1.1\r\nHost: pay.test\r\nContent-Length: 0\r\n\r\n`,
      () => 'pay.test:443',
    );

  const table: readonly [Reason, string, Ask][] = [
    ['bad_request', 'bytes that are no HTTP', raw(() => 'NONSENSE\r\n\r\n')],
    [
      'bad_request',
      'a second length',
      raw(
        () =>
          'POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n',
      ),
    ],
    [
      'bad_request',
      'no such page of the proxy',
      raw(() => 'GET /nothing HTTP/1.1\r\nHost: sallyport\r\n\r\n'),
    ],
    ['bad_request', 'TLS on the proxy port', raw(() => '\x16\x03\x01\x00\x05abcde')],
    ['bad_authority', 'a port out of range', raw(() => connectText('api.test:70000'))],
    [
      'ambiguous_path',
      'dot segments where paths are judged',
      inside(() => `GET /v1/../x HTTP/1.1\r\n${host()}\r\n`),
    ],
    ['method_refused', 'TRACE', inside(() => `TRACE /v1/x HTTP/1.1\r\n${host()}\r\n`)],
    [
      'method_refused',
      'CONNECT inside a tunnel',
      inside(() => 'CONNECT api.test:443 HTTP/1.1\r\nHost: api.test:443\r\n\r\n'),
    ],
    ['host_not_allowed', 'a host of no rule', connecting(() => 'evil.test:443')],
    ['port_not_allowed', 'a port of no rule', connecting(() => 'api.test:22')],
    ['method_not_allowed', 'a method of no rule', inside(() => `DELETE /v1/x HTTP/1.1\r\n${host()}\r\n`)],
    ['path_not_allowed', 'a path of no rule', inside(() => `GET /v2/x HTTP/1.1\r\n${host()}\r\n`)],
    ['rule_denied', 'a path of a deny rule', inside(() => `GET /never/x HTTP/1.1\r\n${host()}\r\n`)],
    ['address_not_allowed', 'a name that leads inside', connecting(() => 'inner.test:443')],
    [
      'placeholder_wrong_host',
      'a key to a host it is not bound to',
      inside(
        () => `GET / HTTP/1.1\r\nHost: api.test:${bad.port}\r\nX-Key: ${key}\r\n\r\n`,
        () => `api.test:${bad.port}`,
      ),
    ],
    [
      'placeholder_wrong_place',
      'a key in a cookie',
      inside(() => `GET /v1/x HTTP/1.1\r\n${host()}Cookie: k=${key}\r\n\r\n`),
    ],
    [
      'placeholder_unknown',
      'another identity’s placeholder',
      inside(() => `GET /v1/x HTTP/1.1\r\n${host()}X-Key: ${otherKey}\r\n\r\n`),
    ],
    ['secret_leak', 'a real key', inside(() => `GET /v1/x HTTP/1.1\r\n${host()}X-Key: ${REAL}\r\n\r\n`)],
    [
      'placeholder_wrong_host',
      'a key over plain HTTP to another host',
      raw(
        () =>
          `GET http://plain.test:${plain.port}/ HTTP/1.1\r\nHost: plain.test:${plain.port}\r\nX-Key: ${key}\r\n\r\n`,
      ),
    ],
    [
      'upgrade_refused',
      'an upgrade',
      inside(() => `GET /v1/x HTTP/1.1\r\n${host()}Connection: upgrade\r\nUpgrade: h2c\r\n\r\n`),
    ],
    ['approval_timeout', 'what nobody approved in time', paying('POST')],
    [
      'approval_denied',
      'what a person refused',
      async () => {
        const reply = paying('PUT')();
        const { id } = await theHeld(world);
        await decide(world, id, { decision: 'deny' });
        return reply;
      },
    ],
    [
      'auth_invalid',
      'a made-up token',
      connecting(() => 'api.test:443', 'Proxy-Authorization: Bearer sp_tok_x_y\r\n'),
    ],
    [
      'header_too_large',
      'a field of 20 KiB',
      raw(() => `GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nX: ${'a'.repeat(20_000)}\r\n\r\n`),
    ],
    ['host_mismatch', 'another Host inside', inside(() => 'GET /v1/x HTTP/1.1\r\nHost: other.test\r\n\r\n')],
    [
      'dns_failed',
      'a name that does not exist',
      raw(() => `GET http://plain.test:${plain.port}/ HTTP/1.1\r\nHost: plain.test:${plain.port}\r\n\r\n`),
    ],
    ['dns_timeout', 'a name server that is silent', connecting(() => 'silent.test:443')],
    ['connect_failed', 'a port where nobody listens', connecting(() => `api.test:${closed}`)],
    [
      'upstream_tls',
      'a certificate for another name',
      inside(
        () => `GET / HTTP/1.1\r\nHost: wrong.test:${web.port}\r\n\r\n`,
        () => `wrong.test:${web.port}`,
      ),
    ],
    [
      'upstream_bad_response',
      'a malformed response',
      inside(
        () => `GET / HTTP/1.1\r\nHost: api.test:${bad.port}\r\n\r\n`,
        () => `api.test:${bad.port}`,
      ),
    ],
    [
      'secret_unavailable',
      'a key whose source is empty',
      inside(() => `GET /v1/x HTTP/1.1\r\n${host()}X-Key: ${goneKey}\r\n\r\n`),
    ],
  ];

  it.each(table)('%s: %s', async (reason, _what, ask) => {
    const count = () => metricSum(world, 'sallyport_decisions_total', [`reason="${reason}"`]);
    const before = await count();
    const seenBefore = web.seen.length + plain.seen.length;
    const reply = await ask();
    const body = reply.json();
    const id = String(body['request_id']);
    const row = REASONS[reason];
    expect(reply.status).toBe(row.status);
    expect(reply.reason).toBe(`${reason} ${id}`);
    expect(id).toMatch(/^[0-9A-Z]{26}$/);
    expect(reply.field('content-type')).toBe('application/problem+json');
    expect(reply.field('proxy-status')).toContain(`details="${reason}"`);
    expect(reply.field('proxy-authenticate') !== undefined).toBe(row.status === 407);
    expect(reply.field('x-should-retry')).toBe(row.retry ? undefined : 'false');
    expect(reply.field('retry-after') !== undefined).toBe(row.retry);
    expect(body).toMatchObject({
      type: `urn:sallyport:reason:${reason}`,
      title: row.title,
      status: row.status,
      reason,
    });
    expect(body['error']).toMatch(new RegExp(`^sallyport: ${reason}`));
    expect(body['detail']).toBeTypeOf('string');
    expect(reply.body.toString()).not.toMatch(/10\.1\.2\.3|127\.0\.0\.1|others|sk-proj-0123/);
    expect(web.seen.length + plain.seen.length).toBe(seenBefore);

    // Its end is written after the answer.
    await theRecord(world, { kind: 'end', request_id: id });
    const decisions = await records(world, { kind: 'decision', request_id: id });
    const ends = await records(world, { kind: 'end', request_id: id });
    expect([decisions.length, ends.length]).toEqual([1, 1]);
    const afterwards = AFTER_THE_DECISION.has(reason);
    expect(decisions[0]).toMatchObject(
      afterwards ? { verdict: 'allow', reason: null } : { verdict: 'deny', reason },
    );
    expect(ends[0]).toMatchObject({ reason, status: row.status });
    expect((await count()) - before).toBe(afterwards ? 0 : 1);
  });

  /** What only the dial or the upstream's answer can tell: the decision to allow is written by then. */
  const AFTER_THE_DECISION = new Set<Reason>(['connect_failed', 'upstream_tls', 'upstream_bad_response']);

  it('auth_required: a client that no source and no token identifies gets 407, not 403', async () => {
    for (const localAddress of ['127.0.0.3', '127.0.0.9']) {
      const { answer } = await tryConnect(world.port, 'evil.test:443', { localAddress });
      expect(answer.status).toBe(407);
      expect(answer.json()).toMatchObject({ reason: 'auth_required' });
      expect(answer.json()['group']).toBeUndefined();
      expect(answer.field('proxy-authenticate')).toBe('Basic realm="sallyport"');
    }
  });

  it('every refused CONNECT is followed by the end of the connection', async () => {
    for (const [at, options] of [
      ['evil.test:443', {}],
      ['api.test:70000', {}],
      [`api.test:${closed}`, {}],
      ['api.test:443', { headers: 'Proxy-Authorization: Basic broken\r\n' }],
      ['api.test:443', { localAddress: '127.0.0.9' }],
    ] as const) {
      const { client, answer } = await tryConnect(world.port, at, options);
      expect(answer.status).toBeGreaterThanOrEqual(400);
      expect(answer.field('connection')).toBe('close');
      await client.over();
    }
  });

  it('the proxy still serves', async () => {
    const reply = await inside(() => `GET /v1/fine HTTP/1.1\r\n${host()}X-Key: ${key}\r\n\r\n`)();
    expect(reply.status).toBe(200);
    expect(web.seen.at(-1)?.headers['x-key']).toBe(REAL);
  });
});
