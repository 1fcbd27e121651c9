/**
 * Every client that fetches URLs, with nothing but what `/env` prints (and, for Java, the CA in its key store):
 * the real key arrives, connections are kept, tunnels work, and a refusal is told in words that its user sees.
 */
import type { ServerResponse } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { intercepted, policy, profile, records, theRecord, tunnelled } from '../helpers/scene.ts';
import { httpUpstream, type SeenRequest, type Upstream } from '../helpers/upstream.ts';
import { makeWorld, upstreamAuthority, type World } from '../helpers/world.ts';
import { describeClient } from './client.ts';
import { GET_CLIENTS, type GetClient } from './get-clients.ts';
import { makeSandbox, type Ran, type Sandbox } from './sandbox.ts';

const REAL = 'sk-proj-0123456789abcdefghijklmnopqrstuvwxyz';
/** Go builds its standard library in its first run. */
const PREPARE_MS = 180_000;

let world: World;
let web: Upstream;
let opaque: Upstream;
/** HTTP/2 is preferred in front of it */
let front: Upstream;
let sandbox: Sandbox;
let api = '';
let raw = '';
let modern = '';
/** streams that wait for their client to say that it has the first event */
const waiting: ServerResponse[] = [];

function answer({ method, url, body }: SeenRequest, response: ServerResponse): void {
  if (url === '/v1/stream') {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('data: first\n\n');
    waiting.push(response);
    return;
  }
  if (url === '/v1/ack')
    for (const stream of waiting.splice(0)) stream.end('data: second\n\ndata: [DONE]\n\n');
  response.setHeader('content-type', 'text/plain');
  response.end(`${method} ${url} ${body.length}\n`);
}

beforeAll(async () => {
  web = await httpUpstream({ name: 'api.test', answer });
  opaque = await httpUpstream({ name: 'raw.test' });
  api = `api.test:${web.port}`;
  front = await httpUpstream({ name: 'modern.test' });
  raw = `raw.test:${opaque.port}`;
  modern = `modern.test:${front.port}`;
  world = await makeWorld({
    policies: {
      'agents.yaml': policy(
        [intercepted(api, 'paths: ["/v1/**"]'), tunnelled(raw), intercepted(modern, 'http2: prefer')],
        { more: 'profile: keys\n' },
      ),
      'insiders.yaml': policy([intercepted(api), intercepted(modern)], {
        group: 'insiders',
        sources: '',
        more: 'profile: keys\nrefuse: inside\n',
      }),
      'profiles/keys.yaml': profile([{ env: 'API_KEY', from: 'env:REAL', hosts: [api, modern] }]),
    },
    hosts: Object.fromEntries(['api', 'raw', 'modern'].map((name) => [`${name}.test`, ['127.0.0.1']])),
    env: { REAL },
  });
  sandbox = await makeSandbox(world, { roots: [upstreamAuthority().certPem] });
});
afterAll(async () => {
  await world.stop();
  await web.close();
  await opaque.close();
  await front.close();
});

const shown = ({ status, stdout, stderr }: Ran): string => `${status}\n${stdout}\n${stderr}`;
const connects = async (host: string): Promise<number> =>
  (await records(world, { kind: 'decision', stage: 'connect', host })).length;

describe.each(GET_CLIENTS)('with what /env prints', (client: GetClient) => {
  const slug = client.name.toLowerCase().replaceAll(/[^a-z]+/g, '-');
  const host = `${slug}.evil.test`;
  describeClient(client, client.name, () => {
    beforeAll(async () => {
      if (client.prepare === undefined) return;
      const ran = await sandbox.run(client.prepare, { limitMs: PREPARE_MS });
      expect(ran.status, shown(ran)).toBe(0);
    }, PREPARE_MS);

    it('gets what is allowed, and its placeholder arrives as the real key', async () => {
      const before = await connects('api.test');
      const paths = [1, 2, 3, 4].map((turn) => `/v1/${slug}/${turn}`);
      const urls = [...paths.map((path) => `https://${api}${path}`), `https://${raw}/${slug}`];
      const ran = await sandbox.run(client.get(...urls));
      expect(ran.status, shown(ran)).toBe(0);
      for (const path of paths) expect(ran.stdout).toContain(`GET ${path}`);
      expect(web.seen.slice(-4).map(({ headers }) => headers.authorization)).toEqual(
        paths.map(() => `Bearer ${REAL}`),
      );
      expect(shown(ran)).not.toContain(REAL);
      // Connections are kept: no client opens more than it does without a proxy.
      expect((await connects('api.test')) - before).toBeLessThanOrEqual(client.connections ?? 1);
      // The tunnelled host showed a certificate of its own, which the bundle vouches for.
      expect(ran.stdout).toContain(`GET /${slug}`);
    });

    const { http2 } = client;
    if (http2 !== undefined) {
      it('speaks HTTP/2 where the rule prefers it, and its placeholder arrives as the real key', async () => {
        const before = await connects('modern.test');
        const paths = [1, 2, 3].map((turn) => `/${slug}/${turn}`);
        const ran = await sandbox.run(client.get(...paths.map((path) => `https://${modern}${path}`)));
        expect(ran.status, shown(ran)).toBe(0);
        expect(ran.stdout.split(http2)).toHaveLength(paths.length + 1);
        const arrived = front.seen.slice(-3).map(({ headers }) => headers.authorization);
        expect(arrived).toEqual(paths.map(() => `Bearer ${REAL}`));
        expect((await connects('modern.test')) - before).toBe(1);
      });
    }

    if (client.sendsToken !== false) {
      it('is identified by an issued token', async () => {
        const { record, token } = world.proxy.parts.tokens.create({ group: 'agents' });
        const path = `/v1/${slug}/token`;
        const ran = await sandbox.run(client.get(`https://${api}${path}`), { token });
        expect(ran.status, shown(ran)).toBe(0);
        expect(web.seen.at(-1)?.headers.authorization).toBe(`Bearer ${REAL}`);
        const decision = await theRecord(world, { kind: 'decision', path });
        expect(decision).toMatchObject({ identity: record.id, verdict: 'allow', keys: ['API_KEY'] });
      });

      it('has the whole problem where the policy refuses inside', async () => {
        const { token } = world.proxy.parts.tokens.create({ group: 'insiders' });
        const ran = await sandbox.run(client.get(`https://inside-${host}/exfiltrate`), { token });
        expect(ran.status).not.toBe(0);
        expect(shown(ran)).toContain('"reason":"host_not_allowed"');
      });
    }

    it('is refused elsewhere, in words that its user sees', async () => {
      const ran = await sandbox.run(client.get(`https://${host}/exfiltrate`));
      expect(ran.status).not.toBe(0);
      expect(shown(ran)).toMatch(client.told);
      const refused = await records(world, { kind: 'decision', host });
      expect(refused.length).toBeGreaterThan(0);
      for (const one of refused) expect(one['reason']).toBe('host_not_allowed');
    });

    it('is told inside an intercepted connection what is wrong, and sends no placeholder in the clear', async () => {
      const path = `/v1/${slug}/plain`;
      const ran = await sandbox.run(client.get(`https://${api}/admin`, `http://${api}${path}`));
      expect(ran.status, shown(ran)).not.toBe(0);
      expect(shown(ran)).toContain('"reason":"path_not_allowed"');
      expect(web.seen.some(({ url }) => url === path)).toBe(false);
    });

    const { stream } = client;
    if (stream !== undefined) {
      it('has the first event of a stream before the second is sent', async () => {
        const ran = await sandbox.run(stream(`https://${api}/v1/stream`, `https://${api}/v1/ack`));
        expect(ran.status, shown(ran)).toBe(0);
        expect(ran.stdout.split('\n').filter((line) => line.startsWith('data:'))).toEqual([
          'data: first',
          'data: second',
          'data: [DONE]',
        ]);
      });
    }
  });
});
