/** The file of placeholder shapes, shared by worker processes. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { openUsage } from '../../../src/vault/usage.ts';

const SHAPES = new URL('../../../src/vault/shapes.ts', import.meta.url).href;
/** Opens the file, says so, and makes the key's shape when it hears something: slower than anybody waits for a lock. */
const MAKER = `
import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
const make = crypto.generateKeyPairSync;
crypto.generateKeyPairSync = (...of) => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2_200);
  return make(...of);
};
syncBuiltinESMExports();
const { openShapes } = await import(${JSON.stringify(SHAPES)});
const shapes = openShapes(process.argv[1]);
process.stdin.once('data', () => process.stdout.write(shapes.pem('k'), () => process.exit()));
process.stdout.write('ready');
`;

function folder(): string {
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-shapes-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

it('processes that make one private key at the same moment agree on it, however long that takes', async () => {
  const file = join(folder(), 'shapes.json');
  const makers = Array.from({ length: 4 }, () => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', MAKER, file], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    return { child, ready: once(child.stdout, 'data'), closed: once(child, 'close') };
  });
  await Promise.all(makers.map(({ ready }) => ready));
  const made = makers.map(async ({ child, closed }) => {
    let text = '';
    child.stdout.on('data', (bytes: Buffer) => {
      text += bytes.toString();
    });
    child.stdin.end('go');
    await closed;
    return text;
  });
  const pems = new Set(await Promise.all(made));
  expect([...pems][0]).toContain('PRIVATE KEY');
  expect(pems.size).toBe(1);
}, 60_000);

it('what two users of the vault note is kept of both', async () => {
  const dir = folder();
  const [one, two] = [openUsage(dir), openUsage(dir)];
  one.note('a', 1_000);
  two.note('b', 2_000);
  two.note('a', 500);
  await expect
    .poll(() => [...openUsage(dir).read()].sort(([a], [b]) => a.localeCompare(b)), { timeout: 10_000 })
    .toEqual([
      ['a', 1_000],
      ['b', 2_000],
    ]);
}, 20_000);
