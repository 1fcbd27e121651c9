import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { printDocument, sealEntry } from '../../../src/vault/document.ts';
import { deriveKeys, masterFromPassphrase } from '../../../src/vault/seal.ts';
import { openVault, type Vault } from '../../../src/vault/sealed.ts';
import { codeOf, stateFolder } from './folder.ts';

const bytes = (text: string): Buffer => Buffer.from(text, 'utf8');

async function textOf(vault: Vault, name: string): Promise<string> {
  return (await vault.get(name)).expose().toString('utf8');
}

async function revoked(vault: Vault, value: string): Promise<boolean> {
  return (await vault.revoked()).some((one) => one.matches(bytes(value)));
}

describe('a vault', () => {
  it('gives back what was stored, after being opened again too', async () => {
    const dir = stateFolder();
    expect(await openVault({ dir }).set('openai', bytes('value \u00e9\n\0 1'))).toBe('created');
    expect(await textOf(openVault({ dir }), 'openai')).toBe('value \u00e9\n\0 1');
  });

  it('holds no value in the clear, and its files are for the owner alone', async () => {
    const dir = stateFolder();
    await openVault({ dir }).set('openai', bytes('sk-very-secret-value'));
    for (const name of readdirSync(dir)) {
      expect(readFileSync(join(dir, name)).includes('very-secret')).toBe(false);
      expect(statSync(join(dir, name)).mode & 0o777).toBe(0o600);
    }
    expect(readdirSync(dir).sort()).toEqual(['vault-seen.json', 'vault.json', 'vault.key']);
  });

  it('tells a missing name, and a vault that does not exist yet, as not found', async () => {
    const dir = stateFolder();
    expect(await codeOf(() => openVault({ dir }).get('openai'))).toBe('not_found');
    expect(openVault({ dir }).list()).toEqual([]);
    expect(existsSync(join(dir, 'vault.json'))).toBe(false);
    await openVault({ dir }).set('openai', bytes('x'));
    expect(await codeOf(() => openVault({ dir }).get('other'))).toBe('not_found');
  });

  it('lists names and times, never values', async () => {
    const dir = stateFolder();
    let now = Date.UTC(2026, 0, 1);
    const vault = openVault({ dir, now: () => now });
    await vault.set('github', bytes('secret-b'), { group: 'code' });
    await vault.set('aws', bytes('secret-a'));
    now = Date.UTC(2026, 1, 1);
    await vault.rotate('github', bytes('secret-c'));
    vault.used('aws', Date.UTC(2026, 2, 1));
    expect(vault.list()).toEqual([
      {
        name: 'aws',
        created: '2026-01-01T00:00:00.000Z',
        rotated: null,
        last_used: '2026-03-01T00:00:00.000Z',
        group: null,
      },
      {
        name: 'github',
        created: '2026-01-01T00:00:00.000Z',
        rotated: '2026-02-01T00:00:00.000Z',
        last_used: null,
        group: 'code',
      },
    ]);
    expect(vault.changedAt('github')).toBe(now);
  });

  it('remembers a rotated and a removed value as revoked, by digest', async () => {
    const dir = stateFolder();
    const vault = openVault({ dir });
    await vault.set('a', bytes('first-value-of-a'));
    expect(await vault.rotate('a', bytes('second-value-of-a'))).toBe('replaced');
    await vault.set('b', bytes('value-of-b'));
    await vault.rm('b');
    const again = openVault({ dir });
    expect(await revoked(again, 'first-value-of-a')).toBe(true);
    expect(await revoked(again, 'value-of-b')).toBe(true);
    expect(await revoked(again, 'second-value-of-a')).toBe(false);
    expect((await again.revoked()).map((one) => one.length).toSorted((a, b) => a - b)).toEqual([10, 16]);
    expect(await codeOf(() => again.get('b'))).toBe('not_found');
  });

  it('takes a value out of the revoked ones when it is stored again', async () => {
    const vault = openVault({ dir: stateFolder() });
    await vault.set('a', bytes('first-value-of-a'));
    await vault.set('a', bytes('second-value-of-a'));
    await vault.set('a', bytes('first-value-of-a'));
    expect(await revoked(vault, 'first-value-of-a')).toBe(false);
    expect(await revoked(vault, 'second-value-of-a')).toBe(true);
  });

  it('does not write when the value is the same', async () => {
    const dir = stateFolder();
    const vault = openVault({ dir });
    await vault.set('a', bytes('value'));
    const before = readFileSync(join(dir, 'vault.json'));
    expect(await vault.set('a', bytes('value'))).toBe('unchanged');
    expect(await vault.rotate('a', bytes('value'))).toBe('unchanged');
    expect(readFileSync(join(dir, 'vault.json'))).toEqual(before);
  });

  it.each(['', ' ', 'a b', '../x', '-x', '.x', 'x\n', 'x'.repeat(129), '\u00e9'])(
    'refuses the name %j',
    async (name) => {
      expect(await codeOf(() => openVault({ dir: stateFolder() }).set(name, bytes('v')))).toBe('bad_name');
    },
  );

  it.each(['__proto__', 'constructor', 'OPENAI_API_KEY', 'team/openai.v2', 'x'.repeat(128)])(
    'takes the name %s',
    async (name) => {
      const vault = openVault({ dir: stateFolder() });
      await vault.set(name, bytes('v'));
      expect(await textOf(vault, name)).toBe('v');
      expect(vault.list().map((row) => row.name)).toEqual([name]);
    },
  );

  it('refuses an empty value and one of more than 64 KiB', async () => {
    const vault = openVault({ dir: stateFolder() });
    expect(await codeOf(() => vault.set('a', Buffer.alloc(0)))).toBe('empty');
    expect(await codeOf(() => vault.set('a', Buffer.alloc(65_537, 1)))).toBe('too_large');
    expect(await vault.set('a', Buffer.alloc(65_536, 1))).toBe('created');
  });

  it('refuses to rotate or remove what it does not hold', async () => {
    const vault = openVault({ dir: stateFolder() });
    expect(await codeOf(() => vault.rotate('a', bytes('v')))).toBe('not_found');
    expect(await codeOf(() => vault.rm('a'))).toBe('not_found');
    expect(vault.list()).toEqual([]);
  });

  it('keeps all values when many are stored at the same time', async () => {
    const dir = stateFolder();
    const names = Array.from({ length: 12 }, (_, at) => `key-${at}`);
    await Promise.all(names.map((name) => openVault({ dir }).set(name, bytes(`value of ${name}`))));
    const vault = openVault({ dir });
    expect(vault.list().map((row) => row.name)).toEqual(names.toSorted());
    for (const name of names) expect(await textOf(vault, name)).toBe(`value of ${name}`);
  });
});

describe('a vault that someone changed', () => {
  it('is refused whichever byte was flipped', async () => {
    const dir = stateFolder();
    const vault = openVault({ dir });
    await vault.set('openai', bytes('sk-real-1'));
    await vault.set('openai', bytes('sk-real-2'));
    const path = join(dir, 'vault.json');
    const good = readFileSync(path);
    const missed: string[] = [];
    for (let at = 0; at < good.length; at += 1) {
      for (const flip of [0x01, 0x04, 0x20, 0x80]) {
        const bad = Buffer.from(good);
        bad[at] = (bad[at] ?? 0) ^ flip;
        writeFileSync(path, bad);
        const code = await codeOf(() => openVault({ dir }).get('openai'));
        if (!['damaged', 'wrong_key', 'locked'].includes(code)) missed.push(`${at}^${flip}: ${code}`);
      }
    }
    expect(missed).toEqual([]);
    writeFileSync(path, good);
    expect(await textOf(openVault({ dir }), 'openai')).toBe('sk-real-2');
  });

  it('is refused whichever byte of its key was flipped', async () => {
    const dir = stateFolder();
    await openVault({ dir }).set('openai', bytes('sk-real-1'));
    const path = join(dir, 'vault.key');
    const good = readFileSync(path);
    for (let at = 0; at < good.length; at += 1) {
      const bad = Buffer.from(good);
      bad[at] = (bad[at] ?? 0) ^ 1;
      writeFileSync(path, bad);
      expect(await codeOf(() => openVault({ dir }).get('openai'))).toBe('wrong_key');
    }
  });

  it.each([0, 1, 10, -1, -2])('is refused when it was cut at %i', async (length) => {
    const dir = stateFolder();
    await openVault({ dir }).set('openai', bytes('sk-real-1'));
    const path = join(dir, 'vault.json');
    writeFileSync(path, readFileSync(path).subarray(0, length));
    expect(await codeOf(() => openVault({ dir }).get('openai'))).toBe('damaged');
  });

  type File = { counter: number; entries: { name: string }[]; revoked: unknown; mac: string };
  const edits: [string, (file: File, older: File) => void][] = [
    ['an entry was taken out', (file) => file.entries.pop()],
    ['two entries changed places', (file) => file.entries.reverse()],
    [
      'an entry was replaced by its older state',
      (file, older) => {
        file.entries = older.entries;
      },
    ],
    [
      'entries and counter were set back',
      (file, older) => {
        file.entries = older.entries;
        file.counter = older.counter;
      },
    ],
    [
      'the revoked values were set back',
      (file, older) => {
        file.revoked = older.revoked;
      },
    ],
    [
      'the counter was raised',
      (file) => {
        file.counter += 1;
      },
    ],
    [
      'an entry got another name',
      (file) => {
        for (const entry of file.entries) entry.name += 'x';
      },
    ],
    [
      'the MAC is another state\u2019s',
      (file, older) => {
        file.mac = older.mac;
      },
    ],
  ];

  it.each(edits)('is refused when %s', async (_what, edit) => {
    const dir = stateFolder();
    const path = join(dir, 'vault.json');
    const read = (): File => JSON.parse(readFileSync(path, 'utf8')) as File;
    const vault = openVault({ dir });
    await vault.set('a', bytes('first'));
    await vault.set('b', bytes('other'));
    const older = read();
    await vault.set('a', bytes('second'));
    const file = read();
    edit(file, older);
    writeFileSync(path, `${JSON.stringify(file, null, 2)}\n`);
    expect(await codeOf(() => openVault({ dir }).get('b'))).toBe('damaged');
  });

  it('is refused by a process that has seen a newer state', async () => {
    const dir = stateFolder();
    const path = join(dir, 'vault.json');
    const vault = openVault({ dir });
    await vault.set('a', bytes('first'));
    const old = readFileSync(path);
    await vault.set('a', bytes('second'));
    await vault.get('a');
    writeFileSync(path, old);
    expect(await codeOf(() => vault.get('a'))).toBe('rolled_back');
    rmSync(path);
    expect(await codeOf(() => vault.get('a'))).toBe('rolled_back');
  });

  it('is refused when its key can be read by others', async () => {
    const dir = stateFolder();
    await openVault({ dir }).set('a', bytes('first'));
    chmodSync(join(dir, 'vault.key'), 0o644);
    expect(await codeOf(() => openVault({ dir }).get('a'))).toBe('insecure_permissions');
  });

  it('is locked when its key is gone, and is not given a new one', async () => {
    const dir = stateFolder();
    await openVault({ dir }).set('a', bytes('first'));
    rmSync(join(dir, 'vault.key'));
    expect(await codeOf(() => openVault({ dir }).get('a'))).toBe('locked');
    expect(await codeOf(() => openVault({ dir }).set('a', bytes('second')))).toBe('locked');
    expect(existsSync(join(dir, 'vault.key'))).toBe(false);
  });
});

describe('many values at once', () => {
  const value = (name: string, text: string) => ({ name, value: bytes(text) });

  it('are stored all or not at all', async () => {
    const dir = stateFolder();
    const vault = openVault({ dir });
    await vault.set('a', bytes('value of a'));
    const before = readFileSync(join(dir, 'vault.json'));
    const how = { overwrite: false, dry: false };
    expect(
      await codeOf(() => vault.putAll([value('b', 'value of b'), value('bad name', 'value')], how)),
    ).toBe('bad_name');
    expect(await codeOf(() => vault.putAll([value('b', 'value of b'), value('c', '')], how))).toBe('empty');
    const both = [value('b', 'value of b'), value('a', 'another value of a')];
    expect(await vault.putAll(both, how)).toEqual({ stored: false, outcomes: ['created', 'replaced'] });
    expect(readFileSync(join(dir, 'vault.json'))).toEqual(before);
    expect(await vault.putAll(both, { overwrite: true, dry: false })).toMatchObject({ stored: true });
    expect(await textOf(vault, 'a')).toBe('another value of a');
    expect(await revoked(vault, 'value of a')).toBe(true);
  });

  it('can be looked at first, which makes nothing', async () => {
    const dir = stateFolder();
    const dry = { overwrite: true, dry: true };
    expect(await openVault({ dir }).putAll([value('a', 'value of a')], dry)).toEqual({
      stored: false,
      outcomes: ['created'],
    });
    expect(readdirSync(dir)).toEqual([]);
  });
});

describe('the key of a vault', () => {
  it('may be a passphrase', async () => {
    const dir = stateFolder();
    await openVault({ dir, unlock: () => ({ passphrase: 'correct horse' }) }).set('a', bytes('value'));
    expect(readdirSync(dir)).toEqual(['vault-seen.json', 'vault.json']);
    expect(await textOf(openVault({ dir, unlock: () => ({ passphrase: 'correct horse' }) }), 'a')).toBe(
      'value',
    );
    expect(await codeOf(() => openVault({ dir, unlock: () => ({ passphrase: 'wrong' }) }).get('a'))).toBe(
      'wrong_key',
    );
    expect(await codeOf(() => openVault({ dir }).get('a'))).toBe('locked');
  });

  it('is derived from a passphrase by Argon2id; one by scrypt, from before, still opens', async () => {
    const dir = stateFolder();
    const unlock = (): { passphrase: string } => ({ passphrase: 'correct horse' });
    await openVault({ dir, unlock }).set('a', bytes('value'));
    const path = join(dir, 'vault.json');
    expect(openVault({ dir }).opens()).toBe('argon2id');
    expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({
      kdf: { kind: 'argon2id', memory: 65_536, passes: 3, lanes: 4 },
    });
    const salt = 'c2FsdHNhbHRzYWx0c2FsdA';
    const kdf = { kind: 'scrypt', n: 32_768, r: 8, p: 1, salt } as const;
    const id = 'AAAAAAAAAAAAAAAAAAAAAA';
    const keys = deriveKeys(masterFromPassphrase('correct horse', kdf), id);
    const facts = { name: 'old', version: 1, group: null, created: '2025-01-01T00:00:00Z', rotated: null };
    const entries = [sealEntry({ id, keys, facts, value: bytes('old value') })];
    const revoked = { key: Buffer.alloc(32).toString('base64url'), values: [] };
    writeFileSync(path, printDocument({ id, kdf, counter: 1, entries, revoked }, keys));
    rmSync(join(dir, 'vault-seen.json'));
    expect(await textOf(openVault({ dir, unlock }), 'old')).toBe('old value');
  });

  it('may come from the environment', async () => {
    const dir = stateFolder();
    const unlock = (byte: number) => () => ({ key: Buffer.alloc(32, byte) });
    await openVault({ dir, unlock: unlock(1) }).set('a', bytes('value'));
    expect(readdirSync(dir)).toEqual(['vault-seen.json', 'vault.json']);
    expect(await textOf(openVault({ dir, unlock: unlock(1) }), 'a')).toBe('value');
    expect(await codeOf(() => openVault({ dir, unlock: unlock(2) }).get('a'))).toBe('wrong_key');
    expect(await codeOf(() => openVault({ dir }).get('a'))).toBe('locked');
    await openVault({ dir, unlock: unlock(1) }).rekey({ key: Buffer.alloc(32, 2) });
    expect(await textOf(openVault({ dir, unlock: unlock(2) }), 'a')).toBe('value');
  });

  it('is read anew where it may have changed, so that a running proxy survives a rekey', async () => {
    const dir = stateFolder();
    let byte = 1;
    const running = openVault({ dir, unlock: () => ({ key: Buffer.alloc(32, byte) }) });
    await running.set('a', bytes('value'));
    await openVault({ dir, unlock: () => ({ key: Buffer.alloc(32, 1) }) }).rekey({
      key: Buffer.alloc(32, 2),
    });
    expect(await codeOf(() => running.get('a'))).toBe('wrong_key');
    byte = 2;
    expect(await textOf(running, 'a')).toBe('value');
  });

  it('can be replaced by another key file; values and revoked values stay', async () => {
    const dir = stateFolder();
    const vault = openVault({ dir });
    await vault.set('a', bytes('old value of a'));
    await vault.set('a', bytes('value of a'));
    const before = readFileSync(join(dir, 'vault.key'));
    await vault.rekey({});
    expect(readFileSync(join(dir, 'vault.key'))).not.toEqual(before);
    expect(readdirSync(dir).sort()).toEqual(['vault-seen.json', 'vault.json', 'vault.key']);
    for (const one of [vault, openVault({ dir })]) {
      expect(await textOf(one, 'a')).toBe('value of a');
      expect(await revoked(one, 'old value of a')).toBe(true);
    }
    writeFileSync(join(dir, 'vault.key'), before);
    expect(await codeOf(() => openVault({ dir }).get('a'))).toBe('wrong_key');
  });

  it('can be replaced by a passphrase and back', async () => {
    const dir = stateFolder();
    const vault = openVault({ dir });
    await vault.set('a', bytes('value'));
    await vault.rekey({ passphrase: 'one' });
    expect(existsSync(join(dir, 'vault.key'))).toBe(false);
    expect(await textOf(vault, 'a')).toBe('value');
    expect(await textOf(openVault({ dir, unlock: () => ({ passphrase: 'one' }) }), 'a')).toBe('value');
    await openVault({ dir, unlock: () => ({ passphrase: 'one' }) }).rekey({});
    expect(await textOf(openVault({ dir }), 'a')).toBe('value');
  });
});
