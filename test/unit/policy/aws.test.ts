import { describe, expect, it } from 'vitest';
import { explain } from '../../../src/policy/explain.ts';
import { at, facts, load, setOf } from './policy-folder.ts';

const GROUP = (more = '') =>
  `version: 1\ngroup: g\nprofile: p\nrules:\n  - allow: ["*.s3.amazonaws.com", minio.test:9000, api.test]\n${more}`;
const PROFILE = `version: 1
profile: p
secrets:
  - { env: KEY, from: "env:K", hosts: [api.test] }
aws:
  - access_key_id: vault:ID
    secret_access_key: vault:SECRET
    session_token: vault:TOKEN
    hosts: ["*.s3.amazonaws.com"]
    regions: [eu-central-1]
    services: [s3, s3-object-lambda]
  - access_key_id: env:MINIO_ID
    secret_access_key: stronghold:minio
    prefix: MINIO_
    hosts: [minio.test:9000]
`;
const files = (profile = PROFILE, more = '') => ({ 'g.yaml': GROUP(more), 'profiles/p.yaml': profile });

describe('an AWS key set of a profile', () => {
  it('is the variables that SDKs read, each with a shape of its own and no place', () => {
    const secrets = setOf(files()).groups.get('g')?.secrets ?? [];
    expect(
      secrets.map(({ env, from, placeholder, places }) => [env, from.text, placeholder, places]),
    ).toEqual([
      ['KEY', 'env:K', undefined, [{ kind: 'header' }, { kind: 'basic' }]],
      ['AWS_ACCESS_KEY_ID', 'vault:ID', { prefix: 'ASIA', length: 20, alphabet: 'base32', bits: 80 }, []],
      ['AWS_SECRET_ACCESS_KEY', 'vault:SECRET', { prefix: '', length: 40, alphabet: 'base62' }, []],
      [
        'AWS_SESSION_TOKEN',
        'vault:TOKEN',
        { prefix: 'IQoJb3JpZ2luX2Vj', length: 256, alphabet: 'base62' },
        [],
      ],
      [
        'MINIO_AWS_ACCESS_KEY_ID',
        'env:MINIO_ID',
        { prefix: 'AKIA', length: 20, alphabet: 'base32', bits: 80 },
        [],
      ],
      [
        'MINIO_AWS_SECRET_ACCESS_KEY',
        'stronghold:minio#MINIO_AWS_SECRET_ACCESS_KEY',
        { prefix: '', length: 40, alphabet: 'base62' },
        [],
      ],
    ]);
  });

  it.each(['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN'])(
    'is gone from a group that excludes its %s, and counts all the same',
    (env) => {
      const group = setOf(files(PROFILE, `exclude: [${env}]\n`)).groups.get('g');
      expect(group?.secrets.map((secret) => secret.env)).toEqual([
        'KEY',
        'MINIO_AWS_ACCESS_KEY_ID',
        'MINIO_AWS_SECRET_ACCESS_KEY',
      ]);
      expect(group?.secretTotal).toBe(6);
    },
  );

  it('is what explain says a request would be signed again with', () => {
    const ask = (target: string) =>
      explain(setOf(files()), { group: 'g', at: at(target), scheme: 'https', facts: facts('GET', '/') });
    expect(ask('b.s3.amazonaws.com:443')).toMatchObject({
      treat: 'intercept',
      keys: ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN'],
      aws: [{ key: 'AWS_ACCESS_KEY_ID', regions: ['eu-central-1'], services: ['s3', 's3-object-lambda'] }],
    });
    expect(ask('minio.test:9000').aws).toEqual([
      { key: 'MINIO_AWS_ACCESS_KEY_ID', regions: null, services: null },
    ]);
    expect(ask('api.test:443').aws).toEqual([]);
  });

  it.each([
    [
      'two sets under the same variables',
      PROFILE.replace('    prefix: MINIO_\n', ''),
      'give this set a prefix',
    ],
    ['no source', PROFILE.replace('vault:ID', 'ID'), 'write one of vault:'],
    ['every host', PROFILE.replace('[minio.test:9000]', '["*"]'), 'name the endpoints of this set'],
    [
      'a host that no rule reaches',
      PROFILE.replace('minio.test:9000', 'other.test'),
      'add "- allow: other.test"',
    ],
    ['half a set', PROFILE.replace('    secret_access_key: vault:SECRET\n', ''), 'secret_access_key'],
    ['a region that is none', PROFILE.replace('eu-central-1', 'eu central'), 'eu-central-1'],
  ])('with %s is an error that says what to write', (_name, profile, fix) => {
    const loaded = load(files(profile));
    expect(loaded.ok).toBe(false);
    expect(JSON.stringify(loaded)).toContain(JSON.stringify(fix).slice(1, -1));
  });

  it('for all of AWS without services is a warning', () => {
    const warnings = (profile: string) =>
      setOf({
        'g.yaml': GROUP().replace('*.s3.amazonaws', '*.amazonaws'),
        'profiles/p.yaml': profile,
      }).warnings.map(({ message }) => message);
    const wide = PROFILE.replace('*.s3.amazonaws', '*.amazonaws');
    expect(warnings(wide.replace(/ {4}services.*\n/, '')).join()).toContain('every service of AWS');
    expect(warnings(wide).join()).not.toContain('every service of AWS');
  });
});
