/** A ClientHello for another host than the CONNECT named: domain fronting, on a tunnel and under interception. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AttackWorld, attackWorld } from '../helpers/attack-world.ts';
import { theRecord } from '../helpers/scene.ts';
import { connect, connectTls } from '../helpers/talk.ts';
import { eventually } from '../helpers/world.ts';

describe('a server name that is not the CONNECT host', () => {
  let scene: AttackWorld;
  beforeAll(async () => {
    scene = await attackWorld();
  });
  afterAll(() => scene.stop());

  it.each([['evil.test'], ['key.test.evil.test'], [null]])(
    '%s does not get through interception',
    async (servername) => {
      const { at, world } = scene;
      const before = (await world.audit()).length;
      await expect(connectTls(world.port, at.bound, { ca: world.caPem, servername })).rejects.toThrow();
      expect(scene.bound.connections()).toBe(0);
      await eventually(async () => {
        const fresh = (await world.audit()).slice(before);
        return fresh.some((one) => one['kind'] === 'end' && one['reason'] === 'sni_mismatch');
      });
    },
  );

  it('nor through a tunnel: the upstream hears no byte of it', async () => {
    const { at, world, tunnel } = scene;
    await expect(
      connectTls(world.port, at.tunnel, { ca: world.caPem, servername: 'evil.test' }),
    ).rejects.toThrow();
    expect(tunnel.heard().length).toBe(0);
    const end = await theRecord(world, { kind: 'end', host: 'tunnel.test' });
    expect(end).toMatchObject({ reason: 'sni_mismatch', bytes_up: 0, ended: 'refused' });
  });

  it('bytes that are no TLS do not get through a tunnel that expects it', async () => {
    const { at, world, tunnel } = scene;
    for (const text of [
      'GET / HTTP/1.1\r\nHost: tunnel.test\r\n\r\n',
      'SSH-2.0-x\r\n',
      '\x16\x03\x01\x00\x00',
    ]) {
      const client = await connect(world.port, at.tunnel);
      client.write(text);
      await client.over();
      client.destroy();
    }
    expect(tunnel.heard().length).toBe(0);
  });
});
