/** The same cases against every kind of secret source. */
import { mkdtempSync, readdirSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createEnvSource } from '../../src/vault/env.ts';
import { createFileSource } from '../../src/vault/file.ts';
import { openVault } from '../../src/vault/sealed.ts';
import { MAX_VALUE_BYTES, type SecretSource, SecretSourceError } from '../../src/vault/source.ts';

type Fixture = {
  readonly source: SecretSource;
  /** stores a value for the name, however the source's user would */
  put(name: string, value: Buffer): Promise<void>;
  remove(name: string): Promise<void>;
  /** damages all that is stored */
  spoil?(): void;
};

const KINDS: Record<string, (dir: string) => Fixture> = {
  vault: (dir) => {
    const source = openVault({ dir });
    return {
      source,
      put: async (name, value) => void (await openVault({ dir }).set(name, value)),
      remove: (name) => openVault({ dir }).rm(name),
      spoil: () => writeFileSync(join(dir, 'vault.json'), '{}'),
    };
  },
  file: (dir) => ({
    source: createFileSource({ base: dir }),
    put: async (name, value) => writeFileSync(join(dir, name), value),
    remove: async (name) => unlinkSync(join(dir, name)),
    spoil: () => {
      for (const name of readdirSync(dir)) writeFileSync(join(dir, name), '');
    },
  }),
  env: () => {
    const env: Record<string, string> = {};
    return {
      source: createEnvSource(env),
      put: async (name, value) => {
        env[name] = value.toString('utf8');
      },
      remove: async (name) => {
        delete env[name];
      },
    };
  },
};

describe.each(Object.keys(KINDS))('a source of kind %s', (kind) => {
  let dir = '';
  let fixture: Fixture;
  let stops: (() => void)[] = [];

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'sallyport-source-'));
    stops = [];
    const make = KINDS[kind];
    if (make === undefined) throw new Error(`no source ${kind}`);
    fixture = make(dir);
  });
  afterEach(() => {
    for (const stop of stops) stop();
    rmSync(dir, { recursive: true, force: true });
  });

  const failure = async (name: string): Promise<SecretSourceError> => {
    const error: unknown = await fixture.source.get(name).then(
      () => null,
      (thrown: unknown) => thrown,
    );
    if (!(error instanceof SecretSourceError))
      throw new Error(`expected a SecretSourceError, got ${inspect(error)}`);
    return error;
  };

  it('says its kind', () => {
    expect(fixture.source.kind).toBe(kind);
  });

  it('gives the bytes of a value as they are', async () => {
    await fixture.put('KEY', Buffer.from('sk-\u00e9 "quoted" $x'));
    const value = await fixture.source.get('KEY');
    expect(value.expose().toString('utf8')).toBe('sk-\u00e9 "quoted" $x');
  });

  it('names the value by kind and name, and never shows it', async () => {
    await fixture.put('KEY', Buffer.from('sk-secret-text'));
    const value = await fixture.source.get('KEY');
    expect(value.name).toBe(`${kind}:KEY`);
    expect(inspect(value) + JSON.stringify(value)).not.toContain('secret-text');
  });

  it('gives a new object each time, so that one can be wiped', async () => {
    await fixture.put('KEY', Buffer.from('sk-secret-text'));
    const [first, second] = [await fixture.source.get('KEY'), await fixture.source.get('KEY')];
    first.zero();
    expect(second.expose().toString()).toBe('sk-secret-text');
    expect((await fixture.source.get('KEY')).expose().toString()).toBe('sk-secret-text');
  });

  it('gives the new value once it changed', async () => {
    await fixture.put('KEY', Buffer.from('value-one'));
    await fixture.source.get('KEY');
    await fixture.put('KEY', Buffer.from('value-two'));
    expect((await fixture.source.get('KEY')).expose().toString()).toBe('value-two');
  });

  it.each(['MISSING', '__proto__', 'constructor', 'toString'])('does not find %s', async (name) => {
    await fixture.put('KEY', Buffer.from('value'));
    expect((await failure(name)).code).toBe('not_found');
  });

  it('no longer finds a value that was removed', async () => {
    await fixture.put('KEY', Buffer.from('value'));
    await fixture.source.get('KEY');
    await fixture.remove('KEY');
    expect((await failure('KEY')).code).toBe('not_found');
  });

  it('takes values up to the cap', async () => {
    await fixture.put('KEY', Buffer.alloc(MAX_VALUE_BYTES, 'x'));
    expect((await fixture.source.get('KEY')).length).toBe(MAX_VALUE_BYTES);
  });

  it('fails with a code when what is stored is broken, and tells no value', async () => {
    if (fixture.spoil === undefined) return;
    await fixture.put('KEY', Buffer.from('sk-secret-text'));
    fixture.spoil();
    const error = await failure('KEY');
    expect(['damaged', 'empty']).toContain(error.code);
    expect(inspect(error, { depth: 9 })).not.toContain('secret-text');
  });

  it('calls back soon after a change, until it is told to stop', async () => {
    const { source } = fixture;
    if (source.watch === undefined) return;
    await fixture.put('KEY', Buffer.from('value-one'));
    await source.get('KEY');
    const watcher = watched(source);
    await fixture.put('KEY', Buffer.from('value-two'));
    await watcher.next();
    watcher.stop();
    const before = watcher.calls();
    const witness = watched(source);
    await fixture.put('KEY', Buffer.from('value-three'));
    await witness.next();
    await witness.next();
    expect(watcher.calls()).toBe(before);
  });

  function watched(source: SecretSource) {
    let calls = 0;
    let wake = (): void => {};
    const stop = source.watch?.(() => {
      calls += 1;
      wake();
    });
    stops.push(() => stop?.());
    const next = (): Promise<void> =>
      new Promise((resolve) => {
        wake = resolve;
      });
    return { calls: () => calls, next, stop: () => stop?.() };
  }
});

describe('a source of kind file', () => {
  it.each([
    ['value\n', 'value'],
    ['value\r\n', 'value'],
    ['value\n\n', 'value\n'],
    [' value ', ' value '],
    ['line 1\nline 2\n', 'line 1\nline 2'],
  ])('takes %j as %j', async (text, value) => {
    const dir = mkdtempSync(join(tmpdir(), 'sallyport-source-'));
    try {
      writeFileSync(join(dir, 'key'), text);
      expect((await createFileSource({ base: dir }).get('key')).expose().toString()).toBe(value);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  it.each([
    ['a folder', '.', 'unreadable'],
    ['a device', '/dev/zero', 'unreadable'],
    ['no file', 'nowhere/at/all', 'not_found'],
  ])('refuses %s', async (_what, name, code) => {
    const dir = mkdtempSync(join(tmpdir(), 'sallyport-source-'));
    try {
      await expect(createFileSource({ base: dir }).get(name)).rejects.toMatchObject({ code });
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  it('refuses a file of more than the cap', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'sallyport-source-'));
    try {
      writeFileSync(join(dir, 'key'), Buffer.alloc(MAX_VALUE_BYTES + 1, 'x'));
      await expect(createFileSource({ base: dir }).get('key')).rejects.toMatchObject({ code: 'too_large' });
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});
