/** An upstream that cannot prove its name gets no request byte, least of all a key. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import tls from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { loadOrCreateAuthority } from '../../src/intercept/authority.ts';
import { createLeafMint } from '../../src/intercept/leaf.ts';
import { parseAuthority } from '../../src/wire/authority.ts';
import { intercepted, metric, placeholderIn, policy, profile, theRecord } from '../helpers/scene.ts';
import { askOnce, connectTls } from '../helpers/talk.ts';
import { makeWorld, upstreamAuthority, upstreamContext, type World } from '../helpers/world.ts';

const at = () => {
  const parsed = parseAuthority('key.test:443');
  if ('reason' in parsed) throw new Error('bad name');
  return parsed;
};

/** A certificate for the right name from a CA that nobody knows. */
function strangersContext(): tls.SecureContext {
  const dir = mkdtempSync(path.join(tmpdir(), 'sallyport-stranger-'));
  const { authority } = loadOrCreateAuthority({ dir, now: Date.now() });
  rmSync(dir, { recursive: true, force: true });
  return createLeafMint({ authority, clock: systemClock }).contextFor(at());
}

/** For the right name, from the known CA, issued as if today were a month ago. */
function expiredContext(): tls.SecureContext {
  const past = { ...systemClock, now: () => Date.now() - 30 * 86_400_000 };
  return createLeafMint({ authority: upstreamAuthority(), clock: past }).contextFor(at());
}

describe('an upstream with a bad certificate', () => {
  let world: World;
  let key = '';
  const heard: string[] = [];
  const servers: tls.Server[] = [];
  const ports: Record<string, number> = {};

  beforeAll(async () => {
    const contexts = {
      name: upstreamContext('other.test'),
      parent: upstreamContext('test'),
      expired: expiredContext(),
      stranger: strangersContext(),
      good: upstreamContext('key.test'),
    };
    for (const [what, context] of Object.entries(contexts)) {
      const server = tls.createServer({ SNICallback: (_name, done) => done(null, context) }, (socket) => {
        socket.on('error', () => socket.destroy());
        socket.on('data', (bytes: Buffer) => {
          heard.push(`${what}: ${bytes.toString('latin1')}`);
          socket.end('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
        });
      });
      server.on('tlsClientError', () => {});
      servers.push(server);
      ports[what] = await new Promise<number>((resolve) => {
        server.listen(0, '127.0.0.1', () => {
          const bound = server.address();
          resolve(typeof bound === 'object' && bound !== null ? bound.port : 0);
        });
      });
    }
    const hosts = Object.values(ports).map((port) => `key.test:${port}`);
    world = await makeWorld({
      policies: {
        'agents.yaml': policy(
          hosts.map((host) => intercepted(host)),
          { more: 'profile: keys\n' },
        ),
        'profiles/keys.yaml': profile([{ env: 'API_KEY', from: 'env:REAL', hosts }]),
      },
      hosts: { 'key.test': ['127.0.0.1'] },
      env: { REAL: 'sk-proj-0123456789abcdefghijklmnop' },
    });
    const env = await askOnce(world.port, 'GET /env?format=json HTTP/1.1\r\nHost: sallyport\r\n\r\n');
    key = placeholderIn(env.json(), 'API_KEY');
  });
  afterAll(async () => {
    await world.stop();
    for (const server of servers) server.close();
  });

  const send = async (what: string) => {
    const host = `key.test:${ports[what]}`;
    const client = await connectTls(world.port, host, { ca: world.caPem });
    const reply = await client.ask(
      `POST /${what} HTTP/1.1\r\nHost: ${host}\r\nX-Key: ${key}\r\nContent-Length: 4\r\n\r\nbody`,
    );
    client.destroy();
    return reply;
  };

  it.each([['name'], ['parent'], ['expired'], ['stranger']])(
    '%s: 502 upstream_tls, and not one byte of the request',
    async (what) => {
      const reply = await send(what);
      expect(reply.json()).toMatchObject({ status: 502, reason: 'upstream_tls' });
      expect(reply.field('x-should-retry')).toBe('false');
      expect(heard).toEqual([]);
      const end = await theRecord(world, { kind: 'end', path: `/${what}` });
      expect(end).toMatchObject({ reason: 'upstream_tls', status: 502 });
    },
  );

  it('a good one on the same name gets the request and the key', async () => {
    expect((await send('good')).status).toBe(200);
    expect(heard.join('')).toContain('sk-proj-0123456789abcdefghijklmnop');
    expect(await metric(world, 'sallyport_upstream_connections_total{outcome="tls"}')).toBe(4);
  });
});
