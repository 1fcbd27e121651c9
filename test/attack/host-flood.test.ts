/** A sandbox can name unlimited hosts: every cache that remembers them has a cap. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { createLeafMint } from '../../src/intercept/leaf.ts';
import { isAuthority, parseAuthority } from '../../src/wire/authority.ts';
import { type AttackWorld, attackWorld } from '../helpers/attack-world.ts';
import { connectText, open } from '../helpers/talk.ts';
import { upstreamAuthority } from '../helpers/world.ts';

const HOSTS = 10_000;

describe('ten thousand host names', () => {
  let scene: AttackWorld;
  beforeAll(async () => {
    scene = await attackWorld();
  });
  afterAll(() => scene.stop());

  it('asked for through one connection’s worth of requests leave bounded labels and memory', async () => {
    const client = await open(scene.world.port);
    const batch = (from: number): string =>
      Array.from(
        { length: 100 },
        (_, n) => `GET http://h${from + n}.flood.test/ HTTP/1.1\r\nHost: h${from + n}.flood.test\r\n\r\n`,
      ).join('');
    for (let from = 0; from < HOSTS; from += 100) {
      client.write(batch(from));
      for (let n = 0; n < 100; n += 1) expect((await client.reply()).status).toBe(403);
    }
    client.destroy();
    const series = (await scene.world.metrics())
      .split('\n')
      .filter((line) => line.startsWith('sallyport_decisions_total{'));
    expect(series.length).toBeLessThan(1_100);
    expect(series.some((line) => line.includes('host="other"'))).toBe(true);
    const refused = series.reduce(
      (sum, line) => (line.includes('host_not_allowed') ? sum + Number(line.split(' ').at(-1)) : sum),
      0,
    );
    expect(refused).toBe(HOSTS);
  });

  it('are minted certificates for at most as many as the cache holds', () => {
    let minted = 0;
    const mint = createLeafMint({
      authority: upstreamAuthority(),
      clock: systemClock,
      max: 50,
      onMint: () => (minted += 1),
    });
    const of = (n: number): string => {
      const at = parseAuthority(`h${n}.flood.test:443`);
      if (!isAuthority(at)) throw new Error('bad name');
      return mint.pemFor(at);
    };
    const first = of(0);
    expect(of(0)).toBe(first);
    for (let n = 1; n <= 60; n += 1) of(n);
    expect(minted).toBe(61);
    expect(of(60)).not.toBe('');
    expect(minted).toBe(61);
    expect(of(0)).not.toBe(first);
    expect(minted).toBe(62);
  });

  it('in CONNECTs leave nothing open', async () => {
    for (let n = 0; n < 200; n += 1) {
      const client = await open(scene.world.port);
      client.write(connectText(`h${n}.flood.test:443`));
      await client.over();
      client.destroy();
    }
    expect(scene.world.proxy.parts.live.connectionsOpen()).toEqual([]);
  });
});
