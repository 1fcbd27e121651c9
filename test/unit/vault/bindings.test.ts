import { createPrivateKey } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type HostPattern, isHostPattern, parseHostPattern } from '../../../src/policy/host-pattern.ts';
import type { CompiledGroup, SecretSpec } from '../../../src/policy/model.ts';
import { hasMarker } from '../../../src/secrets/placeholder.ts';
import { type Bindings, createBindings } from '../../../src/vault/bindings.ts';
import { createEnvSource } from '../../../src/vault/env.ts';
import { openEpochs } from '../../../src/vault/epochs.ts';
import { createKeyring, type Keyring } from '../../../src/vault/keyring.ts';
import { authority, basic, headOf, substitute } from '../secrets/world.ts';
import { stateFolder } from './folder.ts';

const KEY = Buffer.alloc(32, 7);

function pattern(text: string): HostPattern {
  const parsed = parseHostPattern(text);
  if (!isHostPattern(parsed)) throw new Error(parsed.message);
  return parsed;
}

function spec(env: string, more: Partial<SecretSpec> = {}): SecretSpec {
  return {
    env,
    from: { kind: 'env', name: env, text: `env:${env}` },
    hosts: [pattern('api.openai.com')],
    places: [{ kind: 'header' }, { kind: 'basic' }],
    profile: 'test',
    at: { file: 'profiles/test.yaml', line: 1, text: env },
    ...more,
  };
}

function group(name: string, secrets: readonly SecretSpec[]): CompiledGroup {
  return {
    name,
    mode: 'enforce',
    sources: [],
    token: 'optional',
    refuse: 'on_connect',
    rules: [],
    secrets,
    secretTotal: secrets.length,
    excluded: [],
    tests: [],
    file: `${name}.yaml`,
  };
}

const VALUES = { OPENAI_API_KEY: `sk-proj-${'aB3'.repeat(16)}`, GITHUB_TOKEN: `ghp_${'cD4'.repeat(12)}` };
const AGENTS = group('agents', [spec('OPENAI_API_KEY'), spec('GITHUB_TOKEN')]);
const OTHERS = group('others', [spec('OPENAI_API_KEY')]);

type House = { bindings: Bindings; keyring: Keyring; env: Record<string, string>; shapesFile: string };

async function house(
  more: { env?: Record<string, string>; dir?: string; key?: Buffer; groups?: CompiledGroup[] } = {},
): Promise<House> {
  const env: Record<string, string> = { ...(more.env ?? VALUES) };
  const keyring = createKeyring({
    sources: { env: createEnvSource(env) },
    clock: { now: () => 0, mono: () => 0 },
  });
  onTestFinished(() => keyring.close());
  const refs = (more.groups ?? [AGENTS, OTHERS]).flatMap((one) => one.secrets.map((secret) => secret.from));
  await keyring.load(refs);
  const shapesFile = join(more.dir ?? stateFolder(), 'shapes.json');
  return {
    env,
    keyring,
    shapesFile,
    bindings: createBindings({
      keyring,
      placeholderKey: more.key ?? KEY,
      shapesFile,
      epochs: openEpochs(`${shapesFile}.epochs`),
    }),
  };
}

function placeholders(bindings: Bindings, id: string, of: CompiledGroup): Record<string, string> {
  const all = bindings.forIdentity({ id }, of).bindings;
  return Object.fromEntries(all.map((binding) => [binding.env, binding.placeholder]));
}

describe('the placeholders of an identity', () => {
  it('look like their keys and are not their keys', async () => {
    const { bindings } = await house();
    const mine = placeholders(bindings, 'tok_1', AGENTS);
    expect(Object.keys(mine)).toEqual(['OPENAI_API_KEY', 'GITHUB_TOKEN']);
    expect(mine['OPENAI_API_KEY']).toMatch(/^sk-proj-[A-Za-z0-9]{48}$/);
    expect(mine['GITHUB_TOKEN']).toMatch(/^ghp_[A-Za-z0-9]{36}$/);
    expect(Object.values(mine)).not.toContain(VALUES.OPENAI_API_KEY);
  });

  it('are the same after a restart', async () => {
    const dir = stateFolder();
    const before = placeholders((await house({ dir })).bindings, 'tok_1', AGENTS);
    expect(placeholders((await house({ dir })).bindings, 'tok_1', AGENTS)).toEqual(before);
  });

  it('differ between identities, groups, keys and installations', async () => {
    const { bindings } = await house();
    const other = await house({ key: Buffer.alloc(32, 8) });
    const all = [
      placeholders(bindings, 'tok_1', AGENTS)['OPENAI_API_KEY'],
      placeholders(bindings, 'tok_2', AGENTS)['OPENAI_API_KEY'],
      placeholders(bindings, 'tok_1', OTHERS)['OPENAI_API_KEY'],
      placeholders(other.bindings, 'tok_1', AGENTS)['OPENAI_API_KEY'],
      placeholders(
        (await house({ env: { OPENAI_API_KEY: VALUES.OPENAI_API_KEY, GITHUB_TOKEN: VALUES.OPENAI_API_KEY } }))
          .bindings,
        'tok_1',
        AGENTS,
      )['GITHUB_TOKEN'],
    ];
    expect(new Set(all).size).toBe(all.length);
  });

  it('stay the same when a key rotates to another length and prefix', async () => {
    const dir = stateFolder();
    const { bindings, env, keyring } = await house({ dir });
    const before = placeholders(bindings, 'tok_1', AGENTS);
    env['OPENAI_API_KEY'] = `sk-${'x'.repeat(90)}`;
    await keyring.refresh();
    expect(placeholders(bindings, 'tok_1', AGENTS)).toEqual(before);
    const again = await house({ dir, env });
    expect(placeholders(again.bindings, 'tok_1', AGENTS)).toEqual(before);
  });

  it('stay the same when a key is away after a restart', async () => {
    const dir = stateFolder();
    const before = placeholders((await house({ dir })).bindings, 'tok_1', AGENTS);
    expect(placeholders((await house({ dir, env: {} })).bindings, 'tok_1', AGENTS)).toEqual(before);
  });

  it('given out before the key was there are swapped once it is there', async () => {
    const { bindings, env, keyring } = await house({ env: {} });
    const early = placeholders(bindings, 'tok_1', AGENTS)['OPENAI_API_KEY'] ?? '';
    const head = headOf([`Authorization: Bearer ${early}`]);
    expect(substitute(bindings.forIdentity({ id: 'tok_1' }, AGENTS), head)).toBe('secret_unavailable');
    env['OPENAI_API_KEY'] = VALUES.OPENAI_API_KEY;
    await keyring.refresh();
    const now = bindings.forIdentity({ id: 'tok_1' }, AGENTS);
    expect(now.bindings[0]?.placeholder).toMatch(/^sk-proj-/);
    expect(substitute(now, head)).toBe(headOf([`Authorization: Bearer ${VALUES.OPENAI_API_KEY}`]));
  });

  it('remember no shape while the key was never there', async () => {
    const { bindings, shapesFile } = await house({ env: {} });
    placeholders(bindings, 'tok_1', AGENTS);
    expect(existsSync(shapesFile)).toBe(false);
  });

  it('are shaped by hand where the profile says so', async () => {
    const shaped = group('agents', [
      spec('TWILIO_SID', { placeholder: { prefix: 'AC', length: 34, alphabet: 'hex' } }),
    ]);
    const { bindings } = await house({ groups: [shaped] });
    expect(placeholders(bindings, 'tok_1', shaped)['TWILIO_SID']).toMatch(/^AC[0-9a-f]{32}$/);
  });

  it('are a private key that parses and stays where the profile asks for a PEM', async () => {
    const dir = stateFolder();
    const pem = group('agents', [spec('APP_KEY', { placeholder: 'pem' })]);
    const first = placeholders((await house({ dir, groups: [pem] })).bindings, 'tok_1', pem)['APP_KEY'] ?? '';
    expect(createPrivateKey(first).asymmetricKeyType).toBe('rsa');
    expect(placeholders((await house({ dir, groups: [pem] })).bindings, 'tok_1', pem)['APP_KEY']).toBe(first);
    expect(placeholders((await house({ dir, groups: [pem] })).bindings, 'tok_2', pem)['APP_KEY']).not.toBe(
      first,
    );
  });

  it('are made anew from the keys when the file of shapes is damaged', async () => {
    const dir = stateFolder();
    const before = placeholders((await house({ dir })).bindings, 'tok_1', AGENTS);
    for (const text of ['', '{', '[]', '{"shapes":{"test/OPENAI_API_KEY":{"prefix":1}}}', '{"shapes":7}']) {
      writeFileSync(join(dir, 'shapes.json'), text);
      expect(placeholders((await house({ dir })).bindings, 'tok_1', AGENTS)).toEqual(before);
    }
  });

  it('keep no key in the file of shapes', async () => {
    const { bindings, shapesFile } = await house();
    placeholders(bindings, 'tok_1', AGENTS);
    const text = readFileSync(shapesFile, 'utf8');
    for (const value of Object.values(VALUES)) expect(text).not.toContain(value.slice(10));
  });
});

describe('what an identity may use', () => {
  it('is the same object while nothing changes', async () => {
    const { bindings } = await house();
    expect(bindings.forIdentity({ id: 'tok_1' }, AGENTS)).toBe(bindings.forIdentity({ id: 'tok_1' }, AGENTS));
  });

  it('swaps for the bound host and its implied port alone', async () => {
    const { bindings } = await house();
    const [binding] = bindings.forIdentity({ id: 'tok_1' }, AGENTS).bindings;
    expect(binding?.allows(authority('api.openai.com'))).toBe(true);
    expect(binding?.allows(authority('api.openai.com', 8443))).toBe(false);
    expect(binding?.allows(authority('evil.example'))).toBe(false);
  });

  it('uses a rotated key at once, with the bindings it already has', async () => {
    const { bindings, env, keyring } = await house();
    const mine = bindings.forIdentity({ id: 'tok_1' }, AGENTS);
    const head = headOf([basic(`u:${mine.bindings[0]?.placeholder}`)]);
    expect(substitute(mine, head)).toBe(headOf([basic(`u:${VALUES.OPENAI_API_KEY}`)]));
    env['OPENAI_API_KEY'] = 'sk-proj-rotated-rotated-rotated';
    await keyring.refresh();
    expect(substitute(mine, head)).toBe(headOf([basic('u:sk-proj-rotated-rotated-rotated')]));
    expect(substitute(mine, headOf([`X: ${VALUES.OPENAI_API_KEY}`]))).toBe('secret_leak');
  });

  it('refuses the placeholder of every other identity once all are known, of a token too', async () => {
    const groups = [
      AGENTS,
      OTHERS,
      group('short', [spec('SID', { placeholder: { prefix: 'AC', length: 34, alphabet: 'hex' } })]),
    ];
    const { bindings } = await house({ groups });
    bindings.rebuild(groups, ['tok_9', { id: 'tok_8', group: 'short' }]);
    const theirs = [
      placeholders(bindings, 'group:others', OTHERS)['OPENAI_API_KEY'],
      placeholders(bindings, 'tok_9', AGENTS)['GITHUB_TOKEN'],
      (await house({ groups })).bindings.forIdentity({ id: 'tok_8' }, groups[2] ?? AGENTS).bindings[0]
        ?.placeholder,
    ];
    expect(hasMarker(theirs[2] ?? '')).toBe(false);
    const mine = bindings.forIdentity({ id: 'tok_1' }, AGENTS);
    for (const one of theirs) expect(substitute(mine, headOf([`X: ${one}`]))).toBe('placeholder_unknown');
  });

  it('takes groups as a map too, as a policy set holds them', async () => {
    const { bindings } = await house();
    bindings.rebuild(new Map([['agents', AGENTS]]), []);
    expect(bindings.forIdentity({ id: 'group:agents' }, AGENTS).known.size).toBeGreaterThan(0);
  });

  it('no longer knows the placeholder of a key that was taken from the policy', async () => {
    const { bindings } = await house();
    const old = placeholders(bindings, 'tok_1', AGENTS)['GITHUB_TOKEN'] ?? '';
    const less = group('agents', [spec('OPENAI_API_KEY')]);
    bindings.rebuild([less], ['tok_1']);
    expect(substitute(bindings.forIdentity({ id: 'tok_1' }, less), headOf([`X: ${old}`]))).toBe(
      'placeholder_unknown',
    );
  });

  it('works for more identities than the shared index holds', async () => {
    const many = group(
      'many',
      Array.from({ length: 100 }, (_, at) => spec(`KEY_${at}`)),
    );
    const { bindings } = await house({ groups: [many] });
    bindings.rebuild(
      [many],
      Array.from({ length: 210 }, (_, at) => ({ id: `tok_${at}`, group: 'many' })),
    );
    const last = bindings.forIdentity({ id: 'tok_new' }, many);
    const head = headOf([`X: ${last.bindings[42]?.placeholder}`]);
    expect(substitute(last, head)).toBe('secret_unavailable');
    expect(substitute(bindings.forIdentity({ id: 'tok_0' }, many), head)).toBe('placeholder_unknown');
  });
});
