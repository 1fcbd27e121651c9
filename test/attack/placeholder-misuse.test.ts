/** Placeholders where they do not belong: another host, a place that is not searched, another's, none's. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AttackWorld, attackWorld } from '../helpers/attack-world.ts';
import { metric } from '../helpers/scene.ts';

describe('a misused placeholder', () => {
  let scene: AttackWorld;
  beforeAll(async () => {
    scene = await attackWorld();
  });
  afterAll(() => scene.stop());

  const base64 = (text: string): string => Buffer.from(text).toString('base64');

  it.each([
    ['in a header', (key: string) => ['GET /', `X-Key: ${key}\r\n`]],
    ['in Basic', (key: string) => ['GET /', `Authorization: Basic ${base64(`x:${key}`)}\r\n`]],
    ['in the path', (key: string) => [`GET /${key}`, '']],
    ['in the query', (key: string) => [`GET /?k=${key}`, '']],
  ])('%s to another host is refused and nothing goes out', async (_where, make) => {
    const [line = '', fields = ''] = make(scene.mine);
    expect((await scene.inside(scene.at.other, line, fields)).json()).toMatchObject({
      status: 403,
      reason: 'placeholder_wrong_host',
    });
    expect(scene.other.connections()).toBe(0);
  });

  it.each([
    ['Cookie', (key: string) => ['GET /', `Cookie: session=${key}\r\n`]],
    ['User-Agent', (key: string) => ['GET /', `User-Agent: curl ${key}\r\n`]],
    ['Referer', (key: string) => ['GET /', `Referer: https://x/${key}\r\n`]],
    ['Via', (key: string) => ['GET /', `Via: 1.1 ${key}\r\n`]],
    ['X-Forwarded-For', (key: string) => ['GET /', `X-Forwarded-For: ${key}\r\n`]],
    ['the query', (key: string) => [`GET /?api_key=${key}`, '']],
    ['the path', (key: string) => [`GET /bot${key}/send`, '']],
    ['a field name', (key: string) => ['GET /', `${key}: 1\r\n`]],
    ['the method', (key: string) => [`${key.slice(0, 60)} /`, '']],
  ])('in %s of its own host, it is not swapped but refused', async (_where, make) => {
    const [line = '', fields = ''] = make(scene.mine);
    const before = scene.bound.seen.length;
    const reply = await scene.inside(scene.at.bound, line, fields);
    expect(reply.status).toBeGreaterThanOrEqual(400);
    if (_where !== 'the method') expect(reply.json()).toMatchObject({ reason: 'placeholder_wrong_place' });
    expect(scene.bound.seen.length).toBe(before);
  });

  it('another identity’s and a made-up one get the same answer, to the byte but for the id', async () => {
    const madeUp = `${scene.mine.slice(0, -6)}AAAAAA`;
    const answers = [];
    for (const key of [scene.theirs, madeUp]) {
      const reply = await scene.inside(scene.at.bound, 'GET /', `X-Key: ${key}\r\n`);
      expect(reply.json()).toMatchObject({ status: 403, reason: 'placeholder_unknown' });
      answers.push({ ...reply.json(), request_id: '' });
    }
    expect(answers[0]).toEqual(answers[1]);
    expect(scene.mine).not.toBe(scene.theirs);
    const series = 'sallyport_placeholder_misuse_total{group="agents",reason="placeholder_unknown"}';
    expect(await metric(scene.world, series)).toBe(2);
  });

  it('a placeholder does not tell which key another identity has', async () => {
    expect(scene.theirs.length).toBe(scene.mine.length);
    let same = 0;
    for (let n = 0; n < scene.mine.length; n += 1) if (scene.mine[n] === scene.theirs[n]) same += 1;
    expect(scene.mine.length - same).toBeGreaterThan(20);
  });
});
