/** Data sent ahead of an answer: behind a refused CONNECT it is thrown away, behind an accepted one kept in order. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AttackWorld, attackWorld } from '../helpers/attack-world.ts';
import { connectText, open } from '../helpers/talk.ts';

describe('optimistic data', () => {
  let scene: AttackWorld;
  beforeAll(async () => {
    scene = await attackWorld();
  });
  afterAll(() => scene.stop());

  it('behind a refused CONNECT is neither sent on nor read as a request', async () => {
    for (const data of [
      'GET http://plain.test/ HTTP/1.1\r\nHost: plain.test\r\n\r\n',
      connectText(scene.at.bound),
      '\x16\x03\x01'.repeat(1000),
    ]) {
      const client = await open(scene.world.port);
      client.write(`${connectText('evil.test:443')}${data}`);
      const all = (await client.rest()).toString('latin1');
      expect(all).toMatch(/^HTTP\/1\.1 403 /);
      expect(all.match(/HTTP\/1\.1/g)).toHaveLength(1);
      client.destroy();
    }
    expect(scene.arrived()).toBe(0);
  });

  it('a flood of it does not grow the proxy', async () => {
    const client = await open(scene.world.port);
    client.socket.on('error', () => {});
    client.write(connectText('evil.test:443'));
    const piece = Buffer.alloc(256 * 1024);
    for (let n = 0; n < 40 && !client.socket.destroyed; n += 1) client.write(piece);
    await client.over();
    client.destroy();
    expect(scene.world.proxy.parts.scratch.waitingBytes).toBe(0);
  });
});
