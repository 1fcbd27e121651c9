/** Stopping: nothing new is let in, what is open may end within the drain time, the rest is cut and recorded. */

import { readdirSync, readFileSync, rmSync } from 'node:fs';
import type http from 'node:http';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startDnsStub } from '../helpers/dns-stub.ts';
import { jsonLines } from '../helpers/json.ts';
import { intercepted, policy, tunnelled } from '../helpers/scene.ts';
import { connect, connectText, connectTls, open } from '../helpers/talk.ts';
import { httpUpstream, rawUpstream, type Upstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, type World } from '../helpers/world.ts';

describe('a stop', () => {
  const responses: http.ServerResponse[] = [];
  let web: Upstream;
  let raw: Awaited<ReturnType<typeof rawUpstream>>;
  let world: World;
  let at = '';

  beforeAll(async () => {
    web = await httpUpstream({
      name: 'web.test',
      answer: (_request, response) => void responses.push(response),
    });
    raw = await rawUpstream((socket) => socket.on('end', () => socket.end()).resume());
    at = `web.test:${web.port}`;
  });
  beforeEach(async () => {
    world = await makeWorld({
      policies: {
        'agents.yaml': policy([intercepted(at), tunnelled(`raw.test:${raw.port}`, 'protocol: any')]),
      },
      hosts: { 'web.test': ['127.0.0.1'], 'raw.test': ['127.0.0.1'] },
    });
  });
  afterAll(async () => {
    await web.close();
    await raw.close();
  });

  const recorded = (dir = path.join(world.dir, '.sallyport', 'audit')): Record<string, unknown>[] => {
    const files = readdirSync(dir).filter((name) => name.endsWith('.jsonl'));
    return files.flatMap((name) => jsonLines(readFileSync(path.join(dir, name), 'utf8')));
  };

  it('lets a request under way end, and then is quick', async () => {
    const client = await connectTls(world.port, at, { ca: world.caPem });
    const before = responses.length;
    client.write(`GET /slow HTTP/1.1\r\nHost: ${at}\r\n\r\n`);
    const response = await eventually(() => responses[before]);
    const stopping = world.proxy.stop();
    await expect(open(world.port)).rejects.toThrow(/ECONNREFUSED/);
    response.end('finished');
    const reply = await client.reply();
    expect(reply.body.toString()).toBe('finished');
    expect(reply.field('connection')).toBe('close');
    await client.over();
    client.destroy();
    await stopping;
    rmSync(world.dir, { recursive: true, force: true });
  });

  it('cuts what does not end in time; every flow has its end record', async () => {
    const tunnel = await connect(world.port, `raw.test:${raw.port}`);
    const client = await connectTls(world.port, at, { ca: world.caPem });
    const before = responses.length;
    client.write(`GET /never HTTP/1.1\r\nHost: ${at}\r\n\r\n`);
    await eventually(() => responses[before]);
    await world.proxy.stop();
    await tunnel.over();
    await client.over();
    const ends = recorded().filter((one) => one['kind'] === 'end');
    const hosts = ends.map((end) => String(end['host'])).sort((a, b) => a.localeCompare(b));
    expect(hosts).toEqual(['raw.test', 'web.test', 'web.test']);
    rmSync(world.dir, { recursive: true, force: true });
  });

  it('refuses a new request on an open connection as draining', async () => {
    const busy = await connect(world.port, `raw.test:${raw.port}`);
    const client = await open(world.port);
    client.write('GET http://web.te');
    await eventually(() => world.proxy.parts.live.connections === 2);
    world.proxy.parts.state.draining = true;
    client.write('st/ HTTP/1.1\r\nHost: web.test\r\n\r\n');
    expect((await client.reply()).json()).toMatchObject({ status: 503, reason: 'draining' });
    client.destroy();
    busy.destroy();
    await world.stop();
  });

  it('refuses a new request inside an intercepted connection as draining, and closes it', async () => {
    const client = await connectTls(world.port, at, { ca: world.caPem });
    client.write('GET /half');
    await eventually(() => world.proxy.parts.live.connectionsOpen().length === 1);
    world.proxy.parts.state.draining = true;
    client.write(` HTTP/1.1\r\nHost: ${at}\r\n\r\n`);
    const reply = await client.reply();
    expect(reply.json()).toMatchObject({ status: 503, reason: 'draining' });
    expect(reply.field('connection')).toBe('close');
    await client.over();
    client.destroy();
    await world.stop();
  });

  it('refuses a CONNECT that is still being decided when its time is over as draining', async () => {
    const dns = await startDnsStub({ 'late.test': { silent: true } });
    const late = await makeWorld({
      policies: { 'agents.yaml': policy([tunnelled('late.test:443')]) },
      dns: [dns.address],
    });
    const client = await open(late.port);
    client.write(connectText('late.test:443'));
    await eventually(() => dns.queries.length > 0);
    await late.proxy.stopNow();
    const answer = await client.reply();
    expect(answer.json()).toMatchObject({ reason: 'draining', status: 503 });
    const dir = path.join(late.dir, '.sallyport', 'audit');
    const found = recorded(dir);
    expect(found.map(({ kind, reason }) => [kind, reason])).toEqual([
      ['decision', null],
      ['end', 'draining'],
    ]);
    expect(found[1]).toMatchObject({ ended: 'refused', status: 503 });
    rmSync(late.dir, { recursive: true, force: true });
    await dns.close();
    await world.stop();
  });

  it('twice is once', async () => {
    await Promise.all([world.stop(), world.proxy.stop()]);
    await expect(open(world.port)).rejects.toThrow();
  });
});
