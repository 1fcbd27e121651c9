/** A rekey that is killed before any of its steps on the disk leaves a vault that its old or its new key opens. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { openVault, type Vault } from '../../../src/vault/sealed.ts';
import { type Unlock, unlockFrom } from '../../../src/vault/unlock.ts';
import { stateFolder } from './folder.ts';

const WORKER = fileURLToPath(new URL('./rekey-worker.ts', import.meta.url));
const HEX = '5f'.repeat(32);
const VALUE = 'value-of-a-0123456789';

/** What opens the vault after it; before, a key file did. */
const WAYS: [string, { key?: string }][] = [
  ['another', {}],
  ['a key of the environment', { key: HEX }],
];

function killed(dir: string, nth: number, next: object): string | number | null {
  const { status, signal, stderr } = spawnSync(
    process.execPath,
    ['--no-warnings', WORKER, dir, String(nth), JSON.stringify(next)],
    { encoding: 'utf8' },
  );
  if (signal === null && status !== 0) throw new Error(stderr);
  return signal ?? status;
}

async function textIn(vault: Vault): Promise<string> {
  return (await vault.get('a')).expose().toString();
}

async function opened(dir: string, ways: readonly Unlock[]): Promise<Unlock> {
  const errors: unknown[] = [];
  for (const unlock of ways) {
    try {
      expect(await textIn(openVault({ dir, unlock: () => unlock }))).toBe(VALUE);
      return unlock;
    } catch (error) {
      errors.push(error);
    }
  }
  throw new AggregateError(errors, 'neither the old key nor the new one opens the vault');
}

describe.each(WAYS)('a rekey from a key file to %s', (_what, next) => {
  it('can be killed before every step', async () => {
    const before = {};
    const after = unlockFrom({ SALLYPORT_VAULT_KEY: next.key });
    for (let nth = 1, ended: unknown = 'SIGKILL'; ended === 'SIGKILL'; nth += 1) {
      const dir = stateFolder();
      await openVault({ dir, unlock: () => before }).set('a', Buffer.from(VALUE));
      ended = killed(dir, nth, next);
      expect(['SIGKILL', 0]).toContain(ended);
      if (ended === 0) expect(nth).toBeGreaterThan(8);
      const unlock = await opened(dir, [after, before]);
      // It can be written, and the rekey done again, without anything in the way; the lock's holder is dead.
      const vault = openVault({ dir, unlock: () => unlock });
      await vault.set('later', Buffer.from('later-value-0123456789'));
      await vault.rekey(after);
      expect(await textIn(openVault({ dir, unlock: () => after }))).toBe(VALUE);
    }
  }, 60_000);
});
