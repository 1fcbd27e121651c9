/** Fields that claim another client address, or names that JavaScript objects treat specially, change nothing. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AttackWorld, attackWorld } from '../helpers/attack-world.ts';
import { theRecord } from '../helpers/scene.ts';
import { askOnce, tryConnect } from '../helpers/talk.ts';

describe('spoofed identity', () => {
  let scene: AttackWorld;
  beforeAll(async () => {
    scene = await attackWorld();
  });
  afterAll(() => scene.stop());

  it.each([
    ['X-Forwarded-For: 127.0.0.2'],
    ['Forwarded: for=127.0.0.2'],
    ['X-Real-IP: 127.0.0.2'],
    ['True-Client-IP: 127.0.0.2'],
    ['X-Sallyport-Group: others'],
  ])('%s does not make another group of the client', async (field) => {
    const reply = await askOnce(
      scene.world.port,
      `GET /whoami HTTP/1.1\r\nHost: sallyport\r\n${field}\r\n\r\n`,
    );
    expect(reply.json()).toMatchObject({ group: 'agents', identity: 'group:agents' });
    const { answer } = await tryConnect(scene.world.port, 'evil.test:443', { headers: `${field}\r\n` });
    expect(answer.json()).toMatchObject({ group: 'agents' });
  });

  it('the PROXY protocol is not spoken', async () => {
    const reply = await askOnce(
      scene.world.port,
      'PROXY TCP4 127.0.0.2 127.0.0.1 1 2\r\nGET /whoami HTTP/1.1\r\nHost: sallyport\r\n\r\n',
    );
    expect(reply.status).toBe(400);
  });

  it.each([['__proto__'], ['constructor'], ['toString'], ['hasOwnProperty']])(
    '%s is a name like any other',
    async (name) => {
      const { answer } = await tryConnect(scene.world.port, `${name.toLowerCase()}.test:443`);
      expect([400, 403]).toContain(answer.status);
      const field = await scene.inside(scene.at.bound, 'GET /', `${name}: 1\r\n`);
      expect(field.status).toBe(200);
      const path = await scene.inside(scene.at.bound, `GET /${name}?${name}=${name}`);
      expect(path.status).toBe(200);
      const env = await askOnce(
        scene.world.port,
        `GET /env?format=${name} HTTP/1.1\r\nHost: sallyport\r\n\r\n`,
      );
      expect(env.status).toBe(400);
      const page = await askOnce(scene.world.port, `GET /${name} HTTP/1.1\r\nHost: sallyport\r\n\r\n`);
      expect(page.status).toBe(400);
      const user = Buffer.from(`${name}:${name}`).toString('base64');
      const token = await tryConnect(scene.world.port, 'evil.test:443', {
        headers: `Proxy-Authorization: Basic ${user}\r\n`,
      });
      expect(token.answer.status).toBe(407);
      expect(await theRecord(scene.world, { kind: 'end', path: `/${name}?…` })).toMatchObject({
        status: 200,
      });
    },
  );
});
