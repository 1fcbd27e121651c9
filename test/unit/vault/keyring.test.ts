import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { SourceRef } from '../../../src/policy/model.ts';
import { SecretValue } from '../../../src/secrets/value.ts';
import { createEnvSource } from '../../../src/vault/env.ts';
import { createFileSource } from '../../../src/vault/file.ts';
import { createKeyring, type Keyring, type KeyringOptions } from '../../../src/vault/keyring.ts';
import { openVault } from '../../../src/vault/sealed.ts';
import { type SecretSource, SecretSourceError, valueFrom } from '../../../src/vault/source.ts';
import { stateFolder, until } from './folder.ts';

const ref = (kind: SourceRef['kind'], name: string): SourceRef => ({ kind, name, text: `${kind}:${name}` });
const CLOCK = { now: () => 1_000_000, mono: () => 0 };

function ring(sources: KeyringOptions['sources'], more: Partial<KeyringOptions> = {}): Keyring {
  const made = createKeyring({ sources, clock: CLOCK, ...more });
  onTestFinished(() => made.close());
  return made;
}

function textOf(keyring: Keyring, from: SourceRef): string | null {
  return keyring.current(from)?.expose().toString('utf8') ?? null;
}

describe('a keyring', () => {
  it('gives what its sources hold, at once and without waiting', async () => {
    const env: Record<string, string> = { A: 'value-of-a', B: 'value-of-b' };
    const keyring = ring({ env: createEnvSource(env) });
    await keyring.load([ref('env', 'A'), ref('env', 'B')]);
    expect(textOf(keyring, ref('env', 'A'))).toBe('value-of-a');
    expect(textOf(keyring, ref('env', 'B'))).toBe('value-of-b');
  });

  it('gives nothing for what failed, says why, and keeps the rest', async () => {
    const outcomes: string[] = [];
    const keyring = ring(
      { env: createEnvSource({ A: 'value-of-a' }) },
      { onFetch: (source, outcome) => outcomes.push(`${source} ${outcome}`) },
    );
    await keyring.load([ref('env', 'A'), ref('env', 'NONE'), ref('kv', 'x')]);
    expect(textOf(keyring, ref('env', 'A'))).toBe('value-of-a');
    expect(keyring.current(ref('env', 'NONE'))).toBeNull();
    expect(keyring.current(ref('kv', 'x'))).toBeNull();
    expect(keyring.current(ref('env', 'never asked for'))).toBeNull();
    expect(keyring.problem(ref('env', 'A'))).toBeNull();
    expect(keyring.problem(ref('env', 'NONE'))).toMatch(/not set/);
    expect(keyring.problem(ref('kv', 'x'))).toMatch(/no source/);
    expect(outcomes).toEqual(['env ok', 'env error']);
  });

  it('gives no value that could not be taken out of answers, but for the vault’s, where somebody insisted', async () => {
    const dir = stateFolder();
    const vault = openVault({ dir });
    await vault.set('short', Buffer.from('seven-7'));
    const told: string[] = [];
    const keyring = ring(
      { env: createEnvSource({ SHORT: 'seven-7', LONG: 'eight-88', PROOF: 'proof' }), vault },
      { onProblem: (message) => void told.push(message) },
    );
    const proof = ref('env', 'PROOF');
    const minted: SourceRef = {
      ...ref('mint', 'crm'),
      mint: {
        kind: 'client_credentials',
        origin: 'https://x.test',
        path: '/token',
        credential: proof,
        clientId: 'c',
        auth: 'basic',
        fields: [],
      },
    };
    await keyring.load([ref('env', 'SHORT'), ref('env', 'LONG'), ref('vault', 'short'), minted]);
    // Proves who the proxy is, and no sandbox has a placeholder for it.
    expect(textOf(keyring, proof)).toBe('proof');
    expect(keyring.current(ref('env', 'SHORT'))).toBeNull();
    expect(textOf(keyring, ref('env', 'LONG'))).toBe('eight-88');
    expect(textOf(keyring, ref('vault', 'short'))).toBe('seven-7');
    expect(told.filter((message) => message.startsWith('env:'))).toEqual([
      'env:SHORT is shorter than 8 bytes: a key like that cannot be taken out of answers',
    ]);
  });

  it('tells operators once why a key that policies name has no value, and when it has one', async () => {
    const env: Record<string, string> = {};
    const told: string[] = [];
    const keyring = ring({ env: createEnvSource(env) }, { onProblem: (message) => void told.push(message) });
    await keyring.load([ref('env', 'A')]);
    await keyring.refresh();
    expect(told).toEqual(['environment variable A is not set']);
    env['A'] = 'value-of-a-0123';
    await keyring.refresh();
    await keyring.refresh();
    expect(told).toEqual(['environment variable A is not set', 'env:A has a value again']);
  });

  describe('that shares with others of its kind', () => {
    let number = 0;
    const mint: SecretSource = {
      kind: 'mint',
      get: async () => valueFrom('mint:t', Buffer.from(`ghs_token-${number}-0123456789abcdef`)),
    };
    const token = (of: number): string => `ghs_token-${of}-0123456789abcdef`;
    const textsOf = (keyring: Keyring): string[] =>
      keyring.minted().map(({ id, bytes }) => `${id} ${Buffer.from(bytes).toString()}`);

    it('tells the tokens that it had made, and no other keys', async () => {
      const keyring = ring({ mint, env: createEnvSource({ A: 'value-of-a-0123' }) });
      number = 1;
      await keyring.load([ref('mint', 't'), ref('env', 'A')]);
      number = 2;
      await keyring.refresh();
      expect(textsOf(keyring)).toEqual([`mint:t ${token(1)}`, `mint:t ${token(2)}`]);
    });

    it('looks for what others had made, gives it to nobody, and tells it on', async () => {
      number = 3;
      const keyring = ring({ mint });
      await keyring.load([ref('mint', 't')]);
      let told = 0;
      keyring.subscribe(() => {
        told += 1;
      });
      const other = { id: 'mint:t', bytes: Buffer.from(token(4)) };
      keyring.learn([other, { id: 'vault:t', bytes: Buffer.from('not-a-minted-one-0123') }]);
      expect(other.bytes.every((byte) => byte === 0)).toBe(true);
      expect(keyring.leaks().found(token(4))).toBe(true);
      expect(keyring.leaks().found('not-a-minted-one-0123')).toBe(false);
      expect(keyring.former(ref('mint', 't')).map((value) => value.expose().toString())).toEqual([token(4)]);
      expect(textOf(keyring, ref('mint', 't'))).toBe(token(3));
      expect(textsOf(keyring)).toEqual([`mint:t ${token(4)}`, `mint:t ${token(3)}`]);
      // Whoever hears of it again must not tell it again for that.
      const before = keyring.leaks();
      keyring.learn([{ id: 'mint:t', bytes: Buffer.from(token(4)) }]);
      expect(keyring.leaks()).toBe(before);
      expect(told).toBe(0);
      await keyring.refresh();
      expect(keyring.leaks().found(token(4))).toBe(true);
    });

    it.each(['mint', 'command', 'kv', 'stronghold'] as const)(
      'looks for another %s value that another worker was given, not for its own once more',
      async (kind) => {
        const own = 'own-value-0123456789abcdef';
        const source: SecretSource = { kind, get: async () => valueFrom(`${kind}:x`, Buffer.from(own)) };
        const keyring = ring({ [kind]: source });
        const from = ref(kind, 'x');
        await keyring.load([from]);
        const before = keyring.leaks();
        keyring.learn([{ id: `${kind}:x`, bytes: Buffer.from(own) }]);
        expect(keyring.leaks()).toBe(before);
        const other = 'other-value-0123456789abcdef';
        keyring.learn([{ id: `${kind}:x`, bytes: Buffer.from(other) }]);
        expect(keyring.former(from).map((value) => value.expose().toString())).toEqual([other]);
        expect(keyring.leaks().found(other)).toBe(true);
        expect(textOf(keyring, from)).toBe(own);
      },
    );

    it('still looks for a token of an hour ago when as many were made since as a sandbox can bring about', async () => {
      number = 400;
      const keyring = ring({ mint });
      await keyring.load([ref('mint', 't')]);
      for (let of = 401; of < 412; of += 1) {
        number = of;
        await keyring.refresh();
      }
      expect(keyring.former(ref('mint', 't')).map((value) => value.expose().toString())).toContain(
        token(400),
      );
    });

    it('tells what is in use where whoever hears of it has no room for all that was', async () => {
      number = 500;
      const keyring = ring({ mint });
      const other = ring({ mint });
      await keyring.load([ref('mint', 't')]);
      for (let of = 600; of < 800; of += 1) keyring.learn([{ id: 'mint:t', bytes: Buffer.from(token(of)) }]);
      number = 501;
      await other.load([ref('mint', 't')]);
      other.learn(keyring.minted());
      expect(other.leaks().found(token(500))).toBe(true);
    });

    it('keeps so many of one key and not more', async () => {
      number = 5;
      const keyring = ring({ mint });
      await keyring.load([ref('mint', 't')]);
      for (let of = 100; of < 300; of += 1) keyring.learn([{ id: 'mint:t', bytes: Buffer.from(token(of)) }]);
      expect(keyring.former(ref('mint', 't'))).toHaveLength(64);
      expect(keyring.leaks().found(token(299))).toBe(true);
    });
  });

  it('wipes a value that was replaced, and its copies in what searches for it', async () => {
    const env: Record<string, string> = { A: 'first-value-of-a' };
    const keyring = ring({ env: createEnvSource(env) });
    await keyring.load([ref('env', 'A')]);
    const [value, leaks] = [keyring.current(ref('env', 'A')), keyring.leaks()];
    expect(leaks.found('first-value-of-a')).toBe(true);
    env['A'] = 'second-value-of-a';
    await keyring.refresh();
    expect(value?.expose().every((byte) => byte === 0)).toBe(true);
    expect(leaks.found('first-value-of-a')).toBe(false);
    expect(keyring.leaks().found('first-value-of-a')).toBe(true);
    const held = keyring.leaks();
    keyring.close();
    expect(held.found('second-value-of-a')).toBe(false);
  });

  it('does not repeat the words of an error that is not its own: they may hold a value', async () => {
    const source: SecretSource = {
      kind: 'command',
      get: () => Promise.reject(new Error('exit 1: sk-secret')),
    };
    const keyring = ring({ command: source });
    await keyring.load([ref('command', 'x')]);
    expect(keyring.problem(ref('command', 'x'))).not.toContain('sk-secret');
  });

  it('uses a changed value after a refresh and looks for the old one as a leak', async () => {
    const env: Record<string, string> = { A: 'first-value-of-a' };
    const keyring = ring({ env: createEnvSource(env) });
    let told = 0;
    keyring.subscribe(() => {
      told += 1;
    });
    await keyring.load([ref('env', 'A')]);
    expect(keyring.leaks().found('x first-value-of-a y')).toBe(true);
    env['A'] = 'second-value-of-a';
    await keyring.refresh();
    expect(textOf(keyring, ref('env', 'A'))).toBe('second-value-of-a');
    for (const value of ['first-value-of-a', 'second-value-of-a']) {
      expect(keyring.leaks().found(`x${value}y`)).toBe(true);
    }
    expect(keyring.leaks().found('third-value-of-a')).toBe(false);
    expect(told).toBe(2);
  });

  it('keeps the same object while a value stays the same, and tells nobody', async () => {
    const keyring = ring({ env: createEnvSource({ A: 'first-value-of-a' }) });
    await keyring.load([ref('env', 'A')]);
    let told = 0;
    keyring.subscribe(() => {
      told += 1;
    });
    const before = keyring.current(ref('env', 'A'));
    await keyring.refresh();
    expect(keyring.current(ref('env', 'A'))).toBe(before);
    expect(told).toBe(0);
  });

  it('drops what no policy names any more and still looks for it as a leak', async () => {
    const keyring = ring({ env: createEnvSource({ A: 'first-value-of-a', B: 'value-of-b-000' }) });
    await keyring.load([ref('env', 'A'), ref('env', 'B')]);
    await keyring.load([ref('env', 'B')]);
    expect(keyring.current(ref('env', 'A'))).toBeNull();
    expect(keyring.leaks().found('first-value-of-a')).toBe(true);
  });

  it('looks for the values of the vault that no policy names, and for its revoked ones', async () => {
    const vault = openVault({ dir: stateFolder() });
    await vault.set('named', Buffer.from('named-value-00000'));
    await vault.set('other', Buffer.from('other-value-00000'));
    await vault.set('gone', Buffer.from('gone-value-000000'));
    await vault.rm('gone');
    const keyring = ring({ vault });
    await keyring.load([ref('vault', 'named')]);
    for (const value of ['named-value-00000', 'other-value-00000', 'gone-value-000000']) {
      expect(keyring.leaks().found(`k=${value}`)).toBe(true);
    }
  });

  it('notes the use of a key, and not that somebody looked at it', async () => {
    const vault = openVault({ dir: stateFolder() });
    await vault.set('a', Buffer.from('value-of-a-000000'));
    const keyring = ring({ vault });
    await keyring.load([ref('vault', 'a')]);
    keyring.peek(ref('vault', 'a'));
    expect(vault.list()[0]?.last_used).toBeNull();
    keyring.current(ref('vault', 'a'));
    expect(vault.list()[0]?.last_used).toBe(new Date(1_000_000).toISOString());
  });

  it('tells the age of each key by its reference', async () => {
    let now = 50_000;
    const keyring = ring(
      { env: createEnvSource({ A: 'value-of-a' }) },
      { clock: { now: () => now, mono: () => 0 } },
    );
    await keyring.load([ref('env', 'A'), ref('env', 'NONE')]);
    now = 80_000;
    expect(keyring.ages()).toEqual([
      { key: 'env:A', available: true, seconds: 30 },
      { key: 'env:NONE', available: false, seconds: 30 },
    ]);
  });

  it('never shows a value when it is printed', async () => {
    const keyring = ring({ env: createEnvSource({ A: 'secret-value-of-a' }) });
    await keyring.load([ref('env', 'A')]);
    expect(inspect(keyring, { depth: 9, showHidden: true })).not.toContain('secret-value');
    expect(JSON.stringify(keyring.ages())).not.toContain('secret-value');
  });

  it('wipes its values when it is closed', async () => {
    const keyring = ring({ env: createEnvSource({ A: 'value-of-a' }) });
    await keyring.load([ref('env', 'A')]);
    const value = keyring.current(ref('env', 'A'));
    keyring.close();
    expect(value?.expose()).toEqual(Buffer.alloc(10));
    expect(keyring.current(ref('env', 'A'))).toBeNull();
  });

  it('answers many refreshes at once with few fetches, each with the newest value', async () => {
    let fetches = 0;
    const env: Record<string, string> = { A: 'value-0' };
    const source = createEnvSource(env);
    const counting: SecretSource = {
      kind: 'env',
      get: async (name) => {
        fetches += 1;
        return source.get(name);
      },
    };
    const keyring = ring({ env: counting });
    await keyring.load([ref('env', 'A')]);
    const waiting = Array.from({ length: 50 }, (_, at) => {
      env['A'] = `value-${at}`;
      return keyring.refresh();
    });
    await Promise.all(waiting);
    expect(textOf(keyring, ref('env', 'A'))).toBe('value-49');
    expect(fetches).toBeLessThan(5);
  });
});

it('a key whose source is short of something for a moment is back soon, though nobody tells of a change', async () => {
  let short = true;
  const source: SecretSource = {
    kind: 'file',
    get: async (name) => {
      const cause = Object.assign(new Error('too many open files'), { code: 'EMFILE' });
      if (short) throw new SecretSourceError('unreadable', `${name} cannot be read`, { cause });
      return new SecretValue(`file:${name}`, Buffer.from('value-of-it'));
    },
  };
  const keyring = ring({ file: source });
  await keyring.load([ref('file', 'key')]);
  expect(keyring.problem(ref('file', 'key'))).toBe('key cannot be read');
  short = false;
  await until(() => textOf(keyring, ref('file', 'key')) === 'value-of-it');
});

describe('a keyring over a source that keeps what it fetched', () => {
  /** Answers once it is told to. */
  function slowSource() {
    const { promise, resolve } = Promise.withResolvers<void>();
    let onChange = (): void => {};
    const calls: string[] = [];
    const source: SecretSource = {
      kind: 'command',
      get: async (name) => {
        await promise;
        return new SecretValue(`command:${name}`, Buffer.from(`value-of-${name}`));
      },
      watch: (listener) => {
        onChange = listener;
        return () => {};
      },
      cached: {
        keep: (names) => calls.push(`keep ${names.join()}`),
        refreshSoon: (names) => calls.push(`soon ${names.join()}`),
        reread: () => calls.push('reread'),
      },
      close: () => calls.push('close'),
    };
    const answer = (): void => {
      resolve();
      onChange();
    };
    return { source, calls, answer };
  }

  it('does not let other keys wait for it, and takes up an answer that comes late', async () => {
    const slow = slowSource();
    const outcomes: string[] = [];
    const env: Record<string, string> = { A: 'value-of-a', B: 'value-of-b' };
    const keyring = ring(
      { command: slow.source, env: createEnvSource(env) },
      { onFetch: (source, outcome) => outcomes.push(`${source} ${outcome}`) },
    );
    await keyring.load([ref('env', 'A')]);
    const since = performance.now();
    await keyring.load([ref('command', 'x'), ref('env', 'B')]);
    expect(performance.now() - since).toBeLessThan(5_000);
    expect(textOf(keyring, ref('env', 'B'))).toBe('value-of-b');
    expect(keyring.current(ref('command', 'x'))).toBeNull();
    slow.answer();
    await until(() => textOf(keyring, ref('command', 'x')) === 'value-of-x');
    expect(outcomes).not.toContain('command ok');
  });

  it('tells it what is in use, what was refused, what to read again, and when to let go', async () => {
    const { source, calls, answer } = slowSource();
    answer();
    const keyring = ring({ command: source });
    await keyring.load([ref('command', 'x'), ref('command', 'y')]);
    keyring.refreshSoon([ref('command', 'y'), ref('env', 'A')]);
    await keyring.reread();
    keyring.close();
    expect(calls).toEqual(['keep x,y', 'soon y', 'reread', 'keep x,y', 'close']);
  });
});

describe('a running keyring', () => {
  it('takes up a value that another process put into the vault', async () => {
    const dir = stateFolder();
    await openVault({ dir }).set('a', Buffer.from('first-value-00000'));
    const keyring = ring({ vault: openVault({ dir }) });
    await keyring.load([ref('vault', 'a'), ref('vault', 'later')]);
    await openVault({ dir }).rotate('a', Buffer.from('second-value-0000'));
    await openVault({ dir }).set('later', Buffer.from('later-value-00000'));
    await until(() => textOf(keyring, ref('vault', 'a')) === 'second-value-0000');
    await until(() => textOf(keyring, ref('vault', 'later')) === 'later-value-00000');
    expect(keyring.leaks().found('first-value-00000')).toBe(true);
  });

  it('takes up a changed file, and a file that comes later', async () => {
    const dir = stateFolder();
    writeFileSync(join(dir, 'a'), 'first-value\n');
    const keyring = ring({ file: createFileSource({ base: dir }) });
    await keyring.load([ref('file', 'a'), ref('file', 'b')]);
    expect(textOf(keyring, ref('file', 'a'))).toBe('first-value');
    writeFileSync(join(dir, 'a'), 'second-value\n');
    writeFileSync(join(dir, 'b'), 'value-of-b\n');
    await until(() => textOf(keyring, ref('file', 'a')) === 'second-value');
    await until(() => textOf(keyring, ref('file', 'b')) === 'value-of-b');
  });

  it('refuses the keys of a vault that was damaged while it ran', async () => {
    const dir = stateFolder();
    await openVault({ dir }).set('a', Buffer.from('first-value-00000'));
    const keyring = ring({ vault: openVault({ dir }) });
    await keyring.load([ref('vault', 'a')]);
    writeFileSync(join(dir, 'vault.json'), '{}');
    await until(() => keyring.current(ref('vault', 'a')) === null);
    expect(keyring.problem(ref('vault', 'a'))).toMatch(/vault/);
    expect(keyring.leaks().found('first-value-00000')).toBe(true);
  });
});
