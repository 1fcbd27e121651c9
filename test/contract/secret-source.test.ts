/** The same cases against every kind of secret source. */
import { mkdtempSync, readdirSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { SecretValue } from '../../src/secrets/value.ts';
import { createCommandSource } from '../../src/vault/command.ts';
import { createEnvSource } from '../../src/vault/env.ts';
import { createFileSource } from '../../src/vault/file.ts';
import { createKvSource } from '../../src/vault/kv.ts';
import { createMintSource } from '../../src/vault/mint.ts';
import { openVault } from '../../src/vault/sealed.ts';
import { MAX_VALUE_BYTES, type SecretSource, SecretSourceError } from '../../src/vault/source.ts';
import { createStrongholdSource } from '../../src/vault/stronghold.ts';
import { kvServer } from '../helpers/kv-server.ts';
import { mintServer } from '../helpers/mint-server.ts';
import { shellQuoted, standInStronghold } from '../helpers/stand-in-stronghold.ts';

type Fixture = {
  readonly source: SecretSource;
  /** what stands after the colon for a key of this name */
  at?(name: string): string;
  /** stores a value for the name, however the source's user would */
  put(name: string, value: Buffer): Promise<void>;
  remove(name: string): Promise<void>;
  /** damages all that is stored */
  spoil?(): void;
  /** makes what is behind the source answer as usual, not at all, or never */
  set?(state: 'up' | 'down' | 'hang'): void;
  /** lets go of what it holds */
  end?(): Promise<void>;
  /** bytes that it cannot hold by its nature; `blanks`: none but visible ASCII */
  readonly without?: RegExp | 'blanks';
  /** how it says that a value was taken away; default: `not_found` */
  readonly gone?: string;
};

/** Fetches at each question, so that the cases need not wait. */
const EAGER = { ttlMs: 0, failureTtlMs: 0, tickMs: 50, patienceMs: 10_000, fetchMs: 10_000 };
const IMPATIENT = { ...EAGER, fetchMs: 300 };
/** `set('hang')` needs a limit that the test can wait for. */
const limitsOf = (hangs: boolean) => (hangs ? IMPATIENT : EAGER);

const KINDS: Record<string, (dir: string, hangs: boolean) => Fixture | Promise<Fixture>> = {
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
      without: /\0/,
    };
  },
  command: (dir, hangs) => {
    let state = 'up';
    const script = (name: string): string => {
      if (state === 'hang') return '#!/bin/sh\nsleep 600\n';
      return state === 'down' ? '#!/bin/sh\nexit 1\n' : `#!/bin/sh\ncat ./${name}.value\n`;
    };
    const write = (name: string): void => writeFileSync(join(dir, name), script(name), { mode: 0o755 });
    const names = new Set<string>();
    return {
      source: createCommandSource({
        base: dir,
        env: { PATH: process.env['PATH'] },
        clock: systemClock,
        limits: limitsOf(hangs),
      }),
      at: (name) => `./${name}`,
      put: async (name, value) => {
        names.add(name);
        writeFileSync(join(dir, `${name}.value`), Buffer.concat([value, Buffer.from('\n')]));
        write(name);
      },
      remove: async (name) => unlinkSync(join(dir, name)),
      spoil: () => {
        for (const name of names) writeFileSync(join(dir, `${name}.value`), '');
      },
      set: (to) => {
        state = to;
        for (const name of names) write(name);
      },
    };
  },
  stronghold: (dir, hangs) => {
    const cli = standInStronghold(dir);
    const values = new Map<string, string>();
    const print = (): void => {
      const lines = [...values].map(([name, value]) => `export ${name}=${shellQuoted(value)}\n`);
      cli.prints('production', `# OpenClaw Agent\n${lines.join('')}`);
    };
    return {
      source: createStrongholdSource({
        base: dir,
        env: cli.env,
        clock: systemClock,
        limits: limitsOf(hangs),
      }),
      at: (name) => `production#${name}`,
      put: async (name, value) => {
        values.set(name, value.toString('utf8'));
        print();
      },
      remove: async (name) => {
        values.delete(name);
        print();
      },
      spoil: () => cli.prints('production', "export KEY='sk-secret-text\n"),
      set: (state) => cli.set(state),
      without: /\0/,
    };
  },
  kv: async (_dir, hangs) => {
    const server = await kvServer();
    const env = { ...server.env, VAULT_TOKEN: server.issue(0) };
    return {
      source: createKvSource({ env, ca: server.ca, clock: systemClock, limits: limitsOf(hangs) }),
      at: (name) => `secret/${name}#value`,
      put: async (name, value) => server.put(`secret/${name}`, { value: value.toString('utf8'), other: 'x' }),
      remove: async (name) => server.remove(`secret/${name}`),
      spoil: () => server.act((response) => response.end('{"data":{"data":"sk-secret-text"}}')),
      set: (state) =>
        server.act(
          state === 'up'
            ? null
            : (response) => (state === 'down' ? response.writeHead(503).end() : undefined),
        ),
      end: () => server.close(),
    };
  },
  mint: async (_dir, hangs) => {
    const server = await mintServer();
    // It does not say how long tokens live: asked each time, as the others.
    server.lifetime(null);
    const ours = Buffer.from(server.client.secret);
    const source = createMintSource({
      ca: server.ca,
      clock: systemClock,
      limits: limitsOf(hangs),
      read: async ({ text }) => new SecretValue(text, ours),
    });
    source.learn?.([
      {
        kind: 'mint',
        name: 'keys/KEY',
        text: 'mint:keys/KEY',
        mint: {
          kind: 'client_credentials',
          origin: server.origin,
          path: '/token',
          clientId: server.client.id,
          auth: 'basic',
          credential: { kind: 'vault', name: 'crm', text: 'vault:crm' },
          fields: [],
        },
      },
    ]);
    return {
      source,
      at: (name) => `keys/${name}`,
      put: async (_name, value) => server.token(() => value.toString('latin1')),
      remove: async () => server.secret('another'),
      gone: 'denied',
      spoil: () => server.act((response) => response.end('{"token":"sk-secret-text"}')),
      set: (state) =>
        server.act(
          state === 'up'
            ? null
            : (response) => (state === 'down' ? response.writeHead(503).end() : undefined),
        ),
      end: () => server.close(),
      without: 'blanks',
    };
  },
};

describe.each(Object.keys(KINDS))('a source of kind %s', (kind) => {
  let dir = '';
  let fixture: Fixture;
  let stops: (() => void)[] = [];

  const begin = async (hangs = false): Promise<void> => {
    dir = mkdtempSync(join(tmpdir(), 'sallyport-source-'));
    const make = KINDS[kind];
    if (make === undefined) throw new Error(`no source ${kind}`);
    fixture = await make(dir, hangs);
  };
  const end = async (): Promise<void> => {
    for (const stop of stops) stop();
    stops = [];
    fixture.source.close?.();
    await fixture.end?.();
    rmSync(dir, { recursive: true, force: true });
  };
  beforeEach(() => begin());
  afterEach(() => end());

  const at = (name: string): string => fixture.at?.(name) ?? name;
  const get = (name: string) => fixture.source.get(at(name));
  const textOf = async (name: string): Promise<string> => (await get(name)).expose().toString('utf8');
  const failure = async (name: string): Promise<SecretSourceError> => {
    const error: unknown = await get(name).then(
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
    const text = fixture.without === 'blanks' ? 'sk-"quoted"$x' : 'sk-\u00e9 "quoted" $x';
    await fixture.put('KEY', Buffer.from(text));
    expect(await textOf('KEY')).toBe(text);
  });

  it('names the value by kind and name, and never shows it', async () => {
    await fixture.put('KEY', Buffer.from('sk-secret-text'));
    const value = await get('KEY');
    expect(value.name).toBe(`${kind}:${at('KEY')}`);
    expect(inspect(value) + JSON.stringify(value)).not.toContain('secret-text');
  });

  it('gives a new object each time, so that one can be wiped', async () => {
    await fixture.put('KEY', Buffer.from('sk-secret-text'));
    const [first, second] = [await get('KEY'), await get('KEY')];
    first.zero();
    expect(second.expose().toString()).toBe('sk-secret-text');
    expect((await get('KEY')).expose().toString()).toBe('sk-secret-text');
  });

  it('gives the new value once it changed', async () => {
    await fixture.put('KEY', Buffer.from('value-one'));
    await get('KEY');
    await fixture.put('KEY', Buffer.from('value-two'));
    expect((await get('KEY')).expose().toString()).toBe('value-two');
  });

  it.each(['MISSING', '__proto__', 'constructor', 'toString'])('does not find %s', async (name) => {
    await fixture.put('KEY', Buffer.from('value'));
    expect((await failure(name)).code).toBe('not_found');
  });

  it('no longer finds a value that was removed', async () => {
    await fixture.put('KEY', Buffer.from('value'));
    await get('KEY');
    await fixture.remove('KEY');
    expect((await failure('KEY')).code).toBe(fixture.gone ?? 'not_found');
  });

  it('gives control characters and several lines as they are', async () => {
    const all = Buffer.from(Array.from({ length: 32 }, (_, code) => code)).toString('latin1');
    if (fixture.without === 'blanks') return;
    const text = `a${fixture.without === undefined ? all : all.replace(fixture.without, '')}\x7fz\r\n\nend`;
    await fixture.put('KEY', Buffer.from(text));
    expect(await textOf('KEY')).toBe(text);
  });

  it('hands out no value that is longer than the cap', async () => {
    const put = fixture.put('KEY', Buffer.alloc(MAX_VALUE_BYTES + 1, 'x'));
    const code = await put.then(
      async () => (await failure('KEY')).code,
      (error: unknown) => (error instanceof SecretSourceError ? error.code : null),
    );
    expect(code).toBe('too_large');
  });

  it('refuses a value that is empty', async () => {
    const put = fixture.put('KEY', Buffer.alloc(0));
    const code = await put.then(
      async () => (await failure('KEY')).code,
      (error: unknown) => (error instanceof SecretSourceError ? error.code : null),
    );
    expect(code).toBe('empty');
  });

  it('gives its last value while what is behind it is down, and the new one when it is back', async () => {
    if (fixture.set === undefined) return;
    await fixture.put('KEY', Buffer.from('value-one'));
    fixture.set('down');
    expect((await failure('KEY')).code).toBe('unreadable');
    fixture.set('up');
    expect(await textOf('KEY')).toBe('value-one');
    fixture.set('down');
    expect(await textOf('KEY')).toBe('value-one');
    fixture.set('up');
    await fixture.put('KEY', Buffer.from('value-two'));
    expect(await textOf('KEY')).toBe('value-two');
  });

  it('fails at its limit when what is behind it hangs, and recovers', async () => {
    if (fixture.set === undefined) return;
    await end();
    await begin(true);
    await fixture.put('KEY', Buffer.from('value-one'));
    fixture.set?.('hang');
    expect((await failure('KEY')).code).toBe('timeout');
    fixture.set?.('up');
    await expect.poll(() => textOf('KEY'), { timeout: 10_000 }).toBe('value-one');
    fixture.set?.('hang');
    expect(await textOf('KEY')).toBe('value-one');
  });

  it('takes values up to the cap', async () => {
    await fixture.put('KEY', Buffer.alloc(MAX_VALUE_BYTES, 'x'));
    expect((await get('KEY')).length).toBe(MAX_VALUE_BYTES);
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
    await get('KEY');
    const watcher = watched(source);
    const put = async (text: string, by: ReturnType<typeof watched>): Promise<void> => {
      const told = by.next();
      await fixture.put('KEY', Buffer.from(text));
      await told;
    };
    await put('value-two', watcher);
    watcher.stop();
    const before = watcher.calls();
    const witness = watched(source);
    await put('value-three', witness);
    await put('value-four', witness);
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
