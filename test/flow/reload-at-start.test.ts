/** The policy folder is watched from before its first look, so that no change falls between the two. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { policy } from '../helpers/scene.ts';
import { eventually, makeWorld } from '../helpers/world.ts';

it('a policy that changes while the proxy starts is in force soon after', async () => {
  const dir = mkdtempSync(path.join(tmpdir(), 'sallyport-policies-'));
  const write = (group: string): void => writeFileSync(path.join(dir, 'agents.yaml'), policy([], { group }));
  write('first');
  // Reads the folder before it returns its promise, and watches it until then or from then on.
  const starting = makeWorld({ policies: {}, settings: `policies: "${dir}"\n` });
  write('second-of-two');
  const world = await starting;
  await eventually(() => world.proxy.parts.snapshots.current()?.set.groups.has('second-of-two'), 10_000);
  expect(world.proxy.parts.snapshots.current()?.set.groups.size).toBe(1);
  await world.stop();
  rmSync(dir, { recursive: true, force: true });
});
