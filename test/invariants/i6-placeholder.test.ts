/** I6: a placeholder bound elsewhere is refused, never forwarded: by host, place, identity, or made up. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { intercepted, metric, placeholderIn, policy, profile, theRecord } from '../helpers/scene.ts';
import { askOnce, connectTls } from '../helpers/talk.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';
import { makeWorld, type World } from '../helpers/world.ts';

describe('I6: a placeholder elsewhere is refused', () => {
  let world: World;
  let mine: Upstream;
  let other: Upstream;
  let key = '';

  beforeAll(async () => {
    mine = await httpUpstream({ name: 'mine.test' });
    other = await httpUpstream({ name: 'other.test' });
    world = await makeWorld({
      policies: {
        'agents.yaml': policy(
          [intercepted(`mine.test:${mine.port}`), intercepted(`other.test:${other.port}`)],
          {
            more: 'profile: keys\n',
          },
        ),
        'profiles/keys.yaml': profile([
          { env: 'API_KEY', from: 'env:REAL', hosts: [`mine.test:${mine.port}`] },
        ]),
      },
      hosts: { 'mine.test': ['127.0.0.1'], 'other.test': ['127.0.0.1'] },
      env: { REAL: 'sk-0123456789abcdefghijklmnop' },
    });
    const env = await askOnce(world.port, 'GET /env?format=json HTTP/1.1\r\nHost: sallyport\r\n\r\n');
    key = placeholderIn(env.json(), 'API_KEY');
  });
  afterAll(async () => {
    await world.stop();
    await mine.close();
    await other.close();
  });

  const send = async (at: string, fields: string, path = '/') => {
    const client = await connectTls(world.port, at, { ca: world.caPem });
    const reply = await client.ask(`GET ${path} HTTP/1.1\r\nHost: ${at}\r\n${fields}\r\n`);
    client.destroy();
    return reply;
  };

  it('towards its own host it is swapped', async () => {
    expect((await send(`mine.test:${mine.port}`, `X-Api-Key: ${key}\r\n`)).status).toBe(200);
    expect(mine.seen.at(-1)?.headers['x-api-key']).toBe('sk-0123456789abcdefghijklmnop');
  });

  it('towards another allowed host it is placeholder_wrong_host, counted, and no byte goes out', async () => {
    for (const fields of [
      `X-Api-Key: ${key}\r\n`,
      `Authorization: Basic ${Buffer.from(`a:${key}`).toString('base64')}\r\n`,
    ]) {
      const reply = await send(`other.test:${other.port}`, fields);
      expect(reply.json()).toMatchObject({ status: 403, reason: 'placeholder_wrong_host' });
    }
    expect(other.seen).toEqual([]);
    expect(other.connections()).toBe(0);
    const series = 'sallyport_placeholder_misuse_total{group="agents",reason="placeholder_wrong_host"}';
    expect(await metric(world, series)).toBe(2);
  });

  it('in the path of another host it is refused too, and the record keeps the request', async () => {
    const reply = await send(`other.test:${other.port}`, '', `/${key}/x`);
    expect(reply.json()).toMatchObject({ reason: 'placeholder_wrong_host' });
    const id = String(reply.json()['request_id']);
    expect(await theRecord(world, { kind: 'decision', request_id: id })).toMatchObject({
      verdict: 'deny',
      keys: [],
    });
    expect(other.seen).toEqual([]);
  });
});
