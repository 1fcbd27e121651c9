/** One POST to a webhook, over real sockets: what counts as taken, and what is never followed or waited for. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createPost, type Post } from '../../src/notify/post.ts';
import { httpUpstream, rawUpstream, type Upstream } from '../helpers/upstream.ts';
import { upstreamAuthority } from '../helpers/world.ts';

describe('a post', () => {
  let hook: Upstream;
  let status = 200;
  const posts: Post[] = [];

  beforeAll(async () => {
    hook = await httpUpstream({
      name: 'localhost',
      answer: (_request, response) => {
        response.writeHead(status, { location: '/elsewhere' });
        response.end('x'.repeat(200_000));
      },
    });
  });
  afterEach(async () => {
    for (const post of posts.splice(0)) await post.close();
    hook.seen.length = 0;
  });
  afterAll(() => hook.close());

  const made = (url: string, ca = [upstreamAuthority().certPem]): Post => {
    const post = createPost(url, ca);
    posts.push(post);
    return post;
  };
  const at = (): string => `https://localhost:${hook.port}/hook?token=x`;

  it.each([
    [200, 'ok'],
    [204, 'ok'],
    [302, 'never'],
    [307, 'never'],
    [404, 'never'],
    [429, 'later'],
    [500, 'later'],
  ])('that is answered with %i is %s, and goes to that one place', async (code, verdict) => {
    status = code;
    expect(await made(at())('{}', { 'content-type': 'application/json' })).toBe(verdict);
    expect(hook.seen.map(({ url, body }) => `${url} ${body.toString()}`)).toEqual(['/hook?token=x {}']);
  });

  it('is not sent where the certificate is not verified', async () => {
    expect(await made(at(), [])('{}', {})).toBe('later');
    expect(hook.seen).toEqual([]);
  });

  it('ends when it is closed, though the receiver says nothing', async () => {
    const silent = await rawUpstream(() => {});
    const post = made(`http://127.0.0.1:${silent.port}/`);
    const verdict = post('{}', {});
    await post.close();
    expect(await verdict).toBe('later');
    await silent.close();
  });
});
