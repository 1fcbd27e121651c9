/** Keys in bodies and out of answers over HTTP/2, with clients and upstreams that speak it. */
import zlib from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectH2, type H2Client, h2Upstream, replyTo } from '../helpers/h2.ts';
import { intercepted, placeholderIn, policy, profile } from '../helpers/scene.ts';
import { askOnce } from '../helpers/talk.ts';
import { makeWorld, type World } from '../helpers/world.ts';

const REAL = 'ghp_REALgithub0123456789abcdefghijklmnop';

describe('over HTTP/2', () => {
  let upstream: Awaited<ReturnType<typeof h2Upstream>>;
  let world: World;
  let client: H2Client;
  let mine = '';
  const bodies: string[] = [];

  beforeAll(async () => {
    upstream = await h2Upstream('web.test', (stream) => {
      let body = '';
      stream.on('data', (bytes: Buffer) => {
        body += bytes.toString('latin1');
      });
      stream.on('end', () => {
        // A stream that is reset ends as well.
        if (stream.aborted || stream.destroyed) return;
        bodies.push(body);
        stream.respond({ ':status': 200, 'x-key': REAL, 'content-encoding': 'gzip' });
        stream.end(zlib.gzipSync(`you said ${body}`));
      });
      stream.on('error', () => {});
    });
    const at = `web.test:${upstream.port}`;
    world = await makeWorld({
      policies: {
        'agents.yaml': policy([intercepted(at)], { more: 'profile: keys\n' }),
        'profiles/keys.yaml': profile([{ env: 'KEY', from: 'env:REAL', hosts: [at], in: ['body'] }]),
      },
      hosts: { 'web.test': ['127.0.0.1'] },
      env: { REAL },
    });
    const env = await askOnce(world.port, 'GET /env?format=json HTTP/1.1\r\nHost: sallyport:8080\r\n\r\n');
    mine = placeholderIn(env.json(), 'KEY');
    client = await connectH2(world.port, at, { ca: world.caPem });
  });
  afterAll(async () => {
    client.close();
    await world.stop();
    await upstream.close();
  });

  it('the upstream gets the key, and the client its placeholder back', async () => {
    const stream = client.request('POST /x');
    stream.write(mine.slice(0, 10));
    stream.end(mine.slice(10));
    const reply = await replyTo(stream);
    expect(bodies).toEqual([REAL]);
    expect(reply.body.toString()).toBe(`you said ${mine}`);
    expect(reply.headers['x-key']).toBe(mine);
    expect(reply.headers['content-encoding']).toBeUndefined();
  });

  it('a real key is refused, and the upstream sees no whole request', async () => {
    const before = bodies.length;
    const stream = client.request('POST /x');
    stream.end(REAL);
    expect((await replyTo(stream)).json()).toMatchObject({ reason: 'secret_leak' });
    expect(bodies.length).toBe(before);
  });
});
