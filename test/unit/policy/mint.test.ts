import { describe, expect, it } from 'vitest';
import { problemsOf, setOf } from './policy-folder.ts';

const MINT = `  crm:
    kind: client_credentials
    token_url: https://login.test/token?tenant=a
    client_id: sallyport
    client_secret: vault:crm
    scope: read write
  signed:
    kind: client_credentials
    token_url: https://login.test:8443/token
    client_id: sallyport
    auth: private_key_jwt
    key: stronghold:production#KEY
    alg: ES256
  repos:
    kind: github_app
    app_id: 12345
    installation_id: 678
    key: file:app.pem
    repositories: [web]
    permissions: { contents: read }
    api_url: https://github.test/api/v3/
`;
const SECRETS = `  - { env: CRM, from: "mint:crm", hosts: [a.test] }
  - { env: SIGNED, from: "mint:signed", hosts: [a.test] }
  - { env: REPOS, from: "mint:repos", hosts: [a.test] }
`;
const files = (mint = MINT, secrets = SECRETS) => ({
  'g.yaml': 'version: 1\ngroup: g\nprofile: p\nrules:\n  - allow: a.test\n',
  'profiles/p.yaml': `version: 1\nprofile: p\nmint:\n${mint}secrets:\n${secrets}`,
});

describe('a mint block of a profile', () => {
  it('says how a key is asked for, and which other key proves who asks', () => {
    const secrets = setOf(files()).groups.get('g')?.secrets ?? [];
    expect(secrets.map(({ from }) => from)).toEqual([
      {
        kind: 'mint',
        name: 'p/crm',
        text: 'mint:p/crm',
        mint: {
          kind: 'client_credentials',
          origin: 'https://login.test',
          path: '/token?tenant=a',
          clientId: 'sallyport',
          auth: 'basic',
          credential: { kind: 'vault', name: 'crm', text: 'vault:crm' },
          fields: [['scope', 'read write']],
        },
      },
      {
        kind: 'mint',
        name: 'p/signed',
        text: 'mint:p/signed',
        mint: {
          kind: 'client_credentials',
          origin: 'https://login.test:8443',
          path: '/token',
          clientId: 'sallyport',
          auth: 'private_key_jwt',
          credential: { kind: 'stronghold', name: 'production#KEY', text: 'stronghold:production#KEY' },
          assertion: { alg: 'ES256', keyId: null, audience: 'https://login.test:8443/token' },
          fields: [],
        },
      },
      {
        kind: 'mint',
        name: 'p/repos',
        text: 'mint:p/repos',
        mint: {
          kind: 'github_app',
          origin: 'https://github.test',
          path: '/api/v3/app/installations/678/access_tokens',
          appId: '12345',
          credential: { kind: 'file', name: 'app.pem', text: 'file:app.pem' },
          repositories: ['web'],
          permissions: { contents: 'read' },
        },
      },
    ]);
  });

  it.each([
    [
      'another scheme',
      'https://login.test/',
      'http://login.test/',
      'write https://HOST/PATH, without a login',
    ],
    [
      'a login in its address',
      'login.test/token',
      'a:b@login.test/token',
      'write https://HOST/PATH, without a login',
    ],
    ['no secret', '    client_secret: vault:crm\n', '', 'write client_secret: vault:NAME'],
    ['no key', '    key: stronghold:production#KEY\n', '', 'write key: vault:NAME'],
    ['a secret that is not used', 'alg: ES256', 'client_secret: vault:x', 'remove it'],
    [
      'a key that is not used',
      'scope: read write',
      'key: vault:x',
      'remove it, or write auth: private_key_jwt',
    ],
    ['a key out of nowhere', 'vault:crm', 'crm', 'write one of vault:'],
    ['a key that is minted', 'vault:crm', 'mint:signed', 'write one of vault:'],
    [
      'a deployment without a variable',
      'production#KEY',
      'production',
      'write stronghold:DEPLOYMENT#VARIABLE',
    ],
    ['an unknown kind', 'kind: github_app', 'kind: gitlab_app', ''],
    ['an unknown field', 'app_id: 12345', 'app_id: 12345\n    apps: 1', ''],
    ['no number of an installation', '678', 'all', ''],
    ['a control character', 'scope: read write', 'scope: "read\\twrite"', ''],
    ['another name', '"mint:crm"', '"mint:cmr"', 'add it under mint:, or name another'],
  ])('does not load with %s', (_what, text, instead, fix) => {
    const problems = problemsOf(files(MINT.replace(text, instead), SECRETS.replace(text, instead)));
    expect(problems.length).toBeGreaterThan(0);
    expect(problems.map((problem) => problem.fix).join('\n')).toContain(fix);
    expect(problems[0]?.line).toBeGreaterThan(2);
  });

  it('that no key uses is warned of', () => {
    const { warnings } = setOf(files(MINT, SECRETS.replace(/^.*SIGNED.*\n/m, '')));
    expect(warnings.map(({ message }) => message)).toEqual(['no key of this profile is from mint:signed']);
  });
});
