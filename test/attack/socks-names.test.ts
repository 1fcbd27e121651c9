/** Names that mean two things, sent where SOCKS5 lets any byte stand: refused before anything is asked or dialled. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AttackWorld, attackWorld, REAL } from '../helpers/attack-world.ts';
import { records, theRecord } from '../helpers/scene.ts';
import { requestBytes, trySocks } from '../helpers/socks.ts';
import { eventually } from '../helpers/world.ts';
import { helloMessage, serverName, records as tlsRecords } from '../unit/wire/hello-bytes.ts';

describe('names in a SOCKS5 request', () => {
  let scene: AttackWorld;
  beforeAll(async () => {
    scene = await attackWorld();
  });
  afterAll(async () => {
    await scene.stop();
  });

  const port = (): string => scene.at.tunnel.slice(scene.at.tunnel.lastIndexOf(':'));

  it.each([
    ['a NUL behind the allowed name', 'tunnel.test\0.evil.test'],
    ['a NUL before the allowed name', 'evil.test\0tunnel.test'],
    ['a line break', 'tunnel.test\r\nX: y'],
    ['a zone id that ends in the allowed name', '::1%tunnel.test'],
    ['a Kelvin sign', '\u212aey.test'],
    ['a full-width dot', 'tunnel\uff0etest'],
    ['a percent escape', 'tunnel%2etest'],
    ['user information', 'tunnel.test@evil.test'],
    ['loopback as one number', '2130706433'],
    ['loopback in hex', '0x7f.1'],
    ['loopback in short', '127.1'],
    ['a bracketed address', '[::1]'],
  ])('with %s are malformed: one record, nothing dialled', async (_what, name) => {
    const before = (await records(scene.world, { kind: 'end', reason: 'bad_authority' })).length;
    const { client, code } = await trySocks(scene.world.port, `${name}${port()}`, { asName: true });
    expect(code).toBe(1);
    await client.over();
    const after = await eventually(async () => {
      const now = await records(scene.world, { kind: 'end', reason: 'bad_authority' });
      return now.length > before && now;
    });
    expect(after).toHaveLength(before + 1);
    expect(scene.tunnel.connections()).toBe(0);
  });

  it('are recorded as the one name that they are', async () => {
    const { code, client } = await trySocks(scene.world.port, `TUNNEL.Test.${port()}`);
    expect(code).toBe(0);
    client.destroy();
    await theRecord(scene.world, { kind: 'decision', via: 'socks5', host: 'tunnel.test', verdict: 'allow' });
  });

  it('open no loopback address under its own type, in either family', async () => {
    for (const at of ['127.0.0.1', '[::1]', '[::ffff:127.0.0.1]', '[64:ff9b::7f00:1]', '0.0.0.0']) {
      expect((await trySocks(scene.world.port, `${at}${port()}`)).code, at).toBe(2);
    }
  });

  it('that are a real key are a leak, and told nowhere', async () => {
    const { code } = await trySocks(scene.world.port, `${REAL}.evil.test:443`);
    expect(code).toBe(2);
    await theRecord(scene.world, { kind: 'decision', via: 'socks5', reason: 'secret_leak', host: null });
    const shown =
      scene.world.log() + JSON.stringify(await scene.world.audit()) + (await scene.world.metrics());
    expect(shown).not.toContain(REAL.slice(0, 20));
  });

  it('that are refused take the bytes behind them nowhere', async () => {
    const heard = scene.tunnel.heard().length;
    const hello = tlsRecords(helloMessage({ extensions: [serverName('tunnel.test')] }));
    const { code } = await trySocks(scene.world.port, `evil.test${port()}`, {
      early: Buffer.concat([hello, requestBytes(scene.at.tunnel)]),
    });
    expect(code).toBe(2);
    expect(scene.tunnel.heard()).toHaveLength(heard);
  });
});
