/**
 * `vault rekey` in a process that dies, by a real SIGKILL, just before the n-th call that makes a step last or gives a file its name. Started by
 * killed-rekey.test.ts: `rekey-worker.ts FOLDER N NEXT`, where NEXT is JSON, `key` in hex.
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const [dir = '', count = '0', next = '{}'] = process.argv.slice(2);
let left = Number(count);

type Call = (...args: unknown[]) => unknown;

function dying(work: Call): Call {
  return (...args) => {
    left -= 1;
    if (left === 0) process.kill(process.pid, 'SIGKILL');
    return work(...args);
  };
}

const calls: Record<string, unknown> = fs as never;
for (const name of ['fsyncSync', 'renameSync', 'unlinkSync', 'rmSync', 'linkSync']) {
  const real = calls[name];
  if (typeof real === 'function') calls[name] = dying((...args) => Reflect.apply(real, fs, args));
}
syncBuiltinESMExports();

const { openVault } = await import('../../../src/vault/sealed.ts');
const { parseVaultKey } = await import('../../../src/vault/unlock.ts');
const { key } = JSON.parse(next) as { key?: string };
await openVault({ dir }).rekey(key === undefined ? {} : { key: parseVaultKey(key) });
