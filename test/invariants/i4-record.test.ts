/** I4: one decision before a byte goes upstream, one end for every connection and exchange, malformed ones too. */
import { readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type DnsStub, startDnsStub } from '../helpers/dns-stub.ts';
import { intercepted, metric, metricSum, policy, records, theRecord, tunnelled } from '../helpers/scene.ts';
import { askOnce, connect, connectText, connectTls, open, tryConnect } from '../helpers/talk.ts';
import { httpUpstream, rawUpstream, type Upstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, type World } from '../helpers/world.ts';

describe('I4: the record comes first and is closed once', () => {
  let world: World;
  let web: Upstream;
  let raw: Awaited<ReturnType<typeof rawUpstream>>;
  /** what stood in the audit file when each request reached the upstream */
  let recordedBefore: string[] = [];
  let at = '';

  const auditText = (): string => {
    const dir = path.join(world.dir, '.sallyport', 'audit');
    // One test takes the folder away.
    if (statSync(dir).isFile()) return '';
    return readdirSync(dir)
      .filter((name) => name.endsWith('.jsonl'))
      .map((name) => readFileSync(path.join(dir, name), 'utf8'))
      .join('');
  };

  beforeAll(async () => {
    web = await httpUpstream({
      name: 'api.test',
      answer: (request, response) => {
        recordedBefore.push(
          auditText().includes(`"path":"${request.url}","verdict":"allow"`) ? request.url : 'none',
        );
        response.end('ok');
      },
    });
    raw = await rawUpstream((socket) => {
      recordedBefore.push(auditText().includes('"host":"raw.test"') ? 'raw' : 'none');
      socket.end();
    });
    at = `api.test:${web.port}`;
    world = await makeWorld({
      policies: {
        'agents.yaml': policy([intercepted(at), tunnelled(`raw.test:${raw.port}`, 'protocol: any')]),
      },
      hosts: { 'api.test': ['127.0.0.1'], 'raw.test': ['127.0.0.1'] },
    });
  });
  beforeEach(() => {
    recordedBefore = [];
  });
  afterAll(async () => {
    await world.stop();
    await web.close();
    await raw.close();
  });

  it('the decision stands in the file before the upstream hears anything', async () => {
    const client = await connectTls(world.port, at, { ca: world.caPem });
    for (const url of ['/one', '/two', '/three'])
      await client.ask(`GET ${url} HTTP/1.1\r\nHost: ${at}\r\n\r\n`);
    client.destroy();
    const tunnel = await connect(world.port, `raw.test:${raw.port}`);
    await tunnel.rest();
    tunnel.destroy();
    expect(recordedBefore).toEqual(['/one', '/two', '/three', 'raw']);
  });

  it('every kind of connection and exchange leaves one decision and one end under its id', async () => {
    const garbage = [
      '\x00\x01\x02',
      '\x05\x01\x00',
      '\x16\x03\x01\x00\x01x',
      'GET / HTTP/9\r\n\r\n',
      'GET http://a.test/ HTTP/1.1\r\n\r\n',
    ];
    for (const bytes of garbage) {
      const client = await open(world.port);
      client.write(bytes);
      await client.over();
      client.destroy();
    }
    await tryConnect(world.port, 'no.test:443');
    await askOnce(world.port, 'GET /whoami HTTP/1.1\r\nHost: sallyport\r\n\r\n');
    const inside = await connectTls(world.port, at, { ca: world.caPem });
    await inside.ask(`GET /bad HTTP/1.1\r\nHost: ${at}\r\nHost: ${at}\r\n\r\n`);
    inside.destroy();
    const half = await open(world.port);
    half.socket.end('GET http://api.test/ HTTP/1.1\r\nHost: a');
    await half.over();
    half.destroy();
    await eventually(() => world.proxy.parts.live.connections === 0);
    const all = await eventually(async () => {
      const list = await world.audit();
      return list.filter((one) => one['kind'] === 'end').length === list.length / 2 ? list : null;
    });
    const ids = new Map<string, string[]>();
    for (const one of all) {
      const id = String(one['request_id']);
      ids.set(id, [...(ids.get(id) ?? []), String(one['kind'])]);
    }
    for (const kinds of ids.values()) expect(kinds).toEqual(['decision', 'end']);
    const refused = all.filter((one) => one['kind'] === 'decision' && one['verdict'] === 'deny');
    expect(refused.length).toBe(garbage.length + 3);
    const denied = await metricSum(world, 'sallyport_decisions_total', ['verdict="deny"']);
    const allowed = await metricSum(world, 'sallyport_decisions_total', ['verdict="allow"']);
    expect(denied).toBe(refused.length);
    expect(denied + allowed).toBe(all.filter((one) => one['kind'] === 'decision').length);
    expect(await metric(world, 'sallyport_audit_records_total')).toBe(all.length);
  });

  it('a record that cannot be written refuses the request; nothing goes upstream; then it goes on', async () => {
    const client = await connectTls(world.port, at, { ca: world.caPem });
    expect((await client.ask(`GET /before HTTP/1.1\r\nHost: ${at}\r\n\r\n`)).status).toBe(200);
    const seen = web.seen.length;
    const dir = path.join(world.dir, '.sallyport', 'audit');
    const away = `${dir}-away`;
    // A file stands where the folder was: every attempt to write fails, root or not.
    renameSync(dir, away);
    writeFileSync(dir, '');
    const refused = await eventually(async () => {
      const reply = await client.ask(`GET /lost HTTP/1.1\r\nHost: ${at}\r\n\r\n`);
      return reply.status === 503 ? reply : null;
    });
    expect(refused.json()).toMatchObject({ reason: 'audit_unavailable' });
    expect(refused.field('retry-after')).toBeDefined();
    const during = web.seen.length;
    const { answer } = await tryConnect(world.port, `raw.test:${raw.port}`);
    expect(answer.json()).toMatchObject({ status: 503, reason: 'audit_unavailable' });
    for (let n = 0; n < 3; n += 1) {
      expect((await client.ask(`GET /lost HTTP/1.1\r\nHost: ${at}\r\n\r\n`)).status).toBe(503);
    }
    expect(web.seen.length).toBe(during);
    expect(recordedBefore.filter((one) => one === 'raw')).toEqual([]);
    expect(seen).toBeLessThanOrEqual(during);
    expect(world.proxy.parts.trail.healthy()).toBe(false);
    rmSync(dir);
    renameSync(away, dir);
    await eventually(
      async () => (await client.ask(`GET /after HTTP/1.1\r\nHost: ${at}\r\n\r\n`)).status === 200,
    );
    expect(await records(world, { kind: 'decision', path: '/after', verdict: 'allow' })).not.toHaveLength(0);
    client.destroy();
  });
});

describe('I4: what is refused or left late is recorded as what it became', () => {
  let dns: DnsStub;
  let web: Upstream;
  let raw: Awaited<ReturnType<typeof rawUpstream>>;
  let world: World;

  beforeAll(async () => {
    dns = await startDnsStub({
      'silent.test': { silent: true },
      'tunnel.test': { a: ['127.0.0.1'] },
      'web.test': { a: ['127.0.0.1'] },
    });
    web = await httpUpstream({ name: 'web.test' });
    raw = await rawUpstream((socket) => socket.resume());
  });
  beforeEach(async () => {
    world = await makeWorld({
      policies: {
        'agents.yaml': policy([
          tunnelled(`silent.test:${raw.port}`),
          tunnelled(`tunnel.test:${raw.port}`),
          intercepted('silent.test:80'),
          intercepted(`web.test:${web.port}`),
        ]),
      },
      dns: [dns.address],
    });
  });
  afterEach(() => world.stop());
  afterAll(async () => {
    await web.close();
    await raw.close();
    await dns.close();
  });

  const kinds = async (): Promise<unknown[]> => (await world.audit()).map((one) => one['kind']);

  it.each([
    ['CONNECT', () => connectText(`silent.test:${raw.port}`)],
    ['GET', () => 'GET http://silent.test/ HTTP/1.1\r\nHost: silent.test\r\n\r\n'],
  ])(
    'a client that leaves while the name of its %s is asked for: one decision, one end',
    async (method, ask) => {
      const before = dns.queries.length;
      const client = await open(world.port);
      client.write(ask());
      await eventually(() => dns.queries.length > before);
      client.reset();
      await eventually(async () => (await kinds()).includes('end'));
      await eventually(() => world.proxy.parts.live.connections === 0);
      expect(await kinds()).toEqual(['decision', 'end']);
      const [decision, end] = await world.audit();
      expect(end).toMatchObject({ method, ended: 'client_abort', request_id: decision?.['request_id'] });
    },
  );

  /** One decision of its stage, an end that says what came of it, and one count under its reason. */
  const refusedLate = async (host: string, reason: string): Promise<void> => {
    const end = await theRecord(world, { kind: 'end', host });
    expect(end).toMatchObject({ ended: 'refused', verdict: 'deny', reason });
    expect(await records(world, { kind: 'decision', host })).toHaveLength(1);
    const labels = ['verdict="deny"', `reason="${reason}"`];
    expect(await metricSum(world, 'sallyport_decisions_total', labels)).toBe(1);
  };

  it('a server name that is not the CONNECT host, in a tunnel: its end is a refusal, counted once', async () => {
    const at = `tunnel.test:${raw.port}`;
    await expect(connectTls(world.port, at, { ca: world.caPem, servername: 'evil.test' })).rejects.toThrow();
    await refusedLate('tunnel.test', 'sni_mismatch');
  });

  it('bytes that are no TLS, where TLS is intercepted: its end is a refusal, counted once', async () => {
    const client = await connect(world.port, `web.test:${web.port}`);
    client.write('GET / HTTP/1.1\r\nHost: web.test\r\n\r\n');
    await client.over();
    client.destroy();
    await refusedLate('web.test', 'not_tls');
  });
});
