/** A sandbox that got hold of a real key must not use it, in whatever spelling or place. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AttackWorld, attackWorld, REAL } from '../helpers/attack-world.ts';
import { askOnce } from '../helpers/talk.ts';

describe('a real key in a request', () => {
  let scene: AttackWorld;
  beforeAll(async () => {
    scene = await attackWorld();
  });
  afterAll(() => scene.stop());

  const basic = Buffer.from(`user:${REAL}`).toString('base64');

  it.each([
    ['a header', 'GET /', `Authorization: Bearer ${REAL}\r\n`],
    ['a cookie', 'GET /', `Cookie: a=${REAL}\r\n`],
    ['Basic', 'GET /', `Authorization: Basic ${basic}\r\n`],
    ['the path', `GET /x/${REAL}/y`, ''],
    ['the query', `GET /?k=${REAL}`, ''],
    ['the path, percent-encoded where it need not be', `GET /${encodeURIComponent(REAL)}`, ''],
  ])('in %s is secret_leak, to its own host and to another', async (_where, line, fields) => {
    for (const at of [scene.at.bound, scene.at.other]) {
      expect((await scene.inside(at, line, fields)).json()).toMatchObject({
        status: 403,
        reason: 'secret_leak',
      });
    }
    expect(scene.arrived()).toBe(0);
  });

  it('over plain HTTP as well', async () => {
    const { plain } = scene.at;
    const reply = await askOnce(
      scene.world.port,
      `GET http://${plain}/ HTTP/1.1\r\nHost: ${plain}\r\nX: ${REAL}\r\n\r\n`,
    );
    expect(reply.json()).toMatchObject({ reason: 'secret_leak' });
    expect(scene.plain.seen).toEqual([]);
  });
});
