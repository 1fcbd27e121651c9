/** Requests sent ahead are answered one by one, in order, each judged by itself. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { intercepted, policy, records } from '../helpers/scene.ts';
import { connectTls, open } from '../helpers/talk.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';
import { makeWorld, type World } from '../helpers/world.ts';

describe('pipelined requests', () => {
  let upstream: Upstream;
  let world: World;
  let at = '';

  beforeAll(async () => {
    upstream = await httpUpstream({ name: 'api.test' });
    at = `api.test:${upstream.port}`;
    world = await makeWorld({
      policies: { 'agents.yaml': policy([intercepted(at, 'paths: ["/ok/**"]')]) },
      hosts: { 'api.test': ['127.0.0.1'] },
    });
  });
  afterAll(async () => {
    await world.stop();
    await upstream.close();
  });

  it('are answered in order, whatever becomes of each', async () => {
    const client = await connectTls(world.port, at, { ca: world.caPem });
    const host = `Host: ${at}\r\n`;
    client.write(
      `GET /ok/1 HTTP/1.1\r\n${host}\r\n` +
        `POST /ok/2 HTTP/1.1\r\n${host}Content-Length: 5\r\n\r\nhello` +
        `GET /no/3 HTTP/1.1\r\n${host}\r\n` +
        `POST /ok/4 HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n` +
        `GET /ok/5 HTTP/1.1\r\n${host}\r\n`,
    );
    const bodies = [];
    for (let n = 0; n < 5; n += 1) {
      const reply = await client.reply();
      bodies.push(reply.status === 200 ? reply.body.toString() : reply.json()['reason']);
    }
    expect(bodies).toEqual([
      'GET /ok/1 0',
      'POST /ok/2 5',
      'path_not_allowed',
      'POST /ok/4 3',
      'GET /ok/5 0',
    ]);
    expect(upstream.seen.map(({ url }) => url)).toEqual(['/ok/1', '/ok/2', '/ok/4', '/ok/5']);
    client.destroy();
    expect(await records(world, { kind: 'decision', stage: 'request' })).toHaveLength(5);
  });

  it('two hundred of them in one write are all answered', async () => {
    const client = await connectTls(world.port, at, { ca: world.caPem });
    client.write(
      Array.from({ length: 200 }, (_, n) => `GET /ok/${n} HTTP/1.1\r\nHost: ${at}\r\n\r\n`).join(''),
    );
    for (let n = 0; n < 200; n += 1) expect((await client.reply()).body.toString()).toBe(`GET /ok/${n} 0`);
    client.destroy();
  });

  it('behind a refused CONNECT on the proxy port are never read', async () => {
    const client = await open(world.port);
    const before = upstream.seen.length;
    client.write(
      `CONNECT no.test:443 HTTP/1.1\r\nHost: no.test:443\r\n\r\nGET http://${at}/ok/1 HTTP/1.1\r\nHost: ${at}\r\n\r\n`,
    );
    const all = (await client.rest()).toString('latin1');
    expect(all.match(/HTTP\/1\.1/g)).toHaveLength(1);
    expect(upstream.seen.length).toBe(before);
  });
});
