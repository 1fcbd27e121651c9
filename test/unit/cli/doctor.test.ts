/** The checks of `doctor` in a world of the test's own: nothing is dialled. */
import { describe, expect, it } from 'vitest';
import { type Finding, findings } from '../../../src/cli/doctor-checks.ts';
import { realKeys } from '../../../src/cli/doctor-keys.ts';
import type { Outside } from '../../../src/cli/doctor-outside.ts';

const CA = `-----BEGIN CERTIFICATE-----\n${'C'.repeat(64)}\nQ29ycA==\n-----END CERTIFICATE-----\n`;
const PLACEHOLDER = 'ghp_0a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6q7r';
const REAL = 'ghp_9z8y7x6w5v4u3t2s1r0q9p8o7n6m5l4k3j2i';
const BUNDLE = '/etc/sallyport/bundle.crt';
const TRUST =
  'NODE_EXTRA_CA_CERTS DENO_CERT SSL_CERT_FILE CURL_CA_BUNDLE REQUESTS_CA_BUNDLE GIT_SSL_CAINFO PIP_CERT AWS_CA_BUNDLE CARGO_HTTP_CAINFO GRPC_DEFAULT_SSL_ROOTS_FILE_PATH npm_config_cafile';

/** A sandbox in which all is well, and what a test makes of it. */
function sandbox(more: Partial<Outside> & { files?: Record<string, string> } = {}): Outside {
  const files: Record<string, string> = {
    [BUNDLE]: `roots\n${CA}`,
    '/etc/ssl/certs/ca-certificates.crt': CA.replaceAll('\n', '\r\n'),
    ...more.files,
  };
  return {
    env: {
      HOME: '/home/agent',
      HTTPS_PROXY: 'http://agents:sp_tok_x@sallyport:8080',
      GITHUB_TOKEN: PLACEHOLDER,
      ...Object.fromEntries(TRUST.split(' ').map((name) => [name, BUNDLE])),
    },
    cwd: '/work',
    connects: () => Promise.resolve(false),
    answersDns: () => Promise.resolve(false),
    resolve: () => Promise.resolve([]),
    ask: (url) => {
      const answers: Record<string, string> = {
        '/whoami': JSON.stringify({ group: 'agents', identity: 'tok_1', mode: 'enforce' }),
        '/ca.pem': CA,
        '/env?format=json': JSON.stringify({ GITHUB_TOKEN: PLACEHOLDER }),
      };
      return Promise.resolve({ status: 200, body: answers[url.replace('http://sallyport:8080', '')] ?? '' });
    },
    run: () => Promise.resolve('Tunnel connection failed: 403 host_not_allowed'),
    read: (file) => files[file] ?? null,
    ...more,
  };
}

async function only(check: string, more: Parameters<typeof sandbox>[0] = {}): Promise<Finding> {
  const found = (await findings(sandbox(more))).filter((one) => one.check === check);
  expect(found).toHaveLength(1);
  return found[0] ?? { check, status: 'skipped', detail: '', fix: '' };
}

/** The environment of the sandbox, changed. */
const env = (change: Record<string, string | undefined>): Partial<Outside> => ({
  env: { ...sandbox().env, ...change },
});

describe('doctor', () => {
  it('finds nothing in a sandbox in which all is well', async () => {
    const all = await findings(sandbox());
    expect(all.filter(({ status }) => status !== 'ok')).toEqual([]);
    expect(all.every(({ fix }) => fix === '')).toBe(true);
    expect(all.map(({ check }) => check).join(', ')).toBe(
      'direct TCP, direct DNS, system resolver, proxy, trust by variables, trust by the system, curl, git, python3, node, real keys',
    );
  });

  it.each<[string, string, Partial<Outside>, Finding['status'], RegExp]>([
    [
      'an address outside that opens',
      'direct TCP',
      { connects: (host) => Promise.resolve(host === '169.254.169.254') },
      'fail',
      /169\.254\.169\.254 port 80$/,
    ],
    [
      'an IPv6 address that opens',
      'direct TCP',
      { connects: (host) => Promise.resolve(host.includes(':')) },
      'fail',
      /2606:/,
    ],
    [
      'a name server that answers',
      'direct DNS',
      { answersDns: () => Promise.resolve(true) },
      'fail',
      /1\.1\.1\.1/,
    ],
    [
      'a resolver that knows public names',
      'system resolver',
      { resolve: () => Promise.resolve(['93.184.216.34']) },
      'fail',
      /example\.com/,
    ],
    [
      'a resolver that sends names to the gate',
      'system resolver',
      { resolve: () => Promise.resolve(['172.25.0.1']) },
      'ok',
      /not resolved/,
    ],
    ['no proxy variable', 'proxy', env({ HTTPS_PROXY: undefined }), 'fail', /names none/],
    [
      'a proxy that does not answer',
      'proxy',
      { ask: () => Promise.resolve(null) },
      'fail',
      /does not answer/,
    ],
    [
      'a token that is not good',
      'proxy',
      { ask: () => Promise.resolve({ status: 407, body: '{}' }) },
      'fail',
      /407/,
    ],
    [
      'something else on the port',
      'proxy',
      { ask: () => Promise.resolve({ status: 200, body: '<html>' }) },
      'fail',
      /200/,
    ],
    [
      'a group in monitor mode',
      'proxy',
      { ask: () => Promise.resolve({ status: 200, body: '{"mode":"monitor"}' }) },
      'warn',
      /monitor/,
    ],
    [
      'a variable to a file that is not there',
      'trust by variables',
      env({ PIP_CERT: '/no/such' }),
      'fail',
      /: PIP_CERT$/,
    ],
    [
      'a variable to a file without the CA',
      'trust by variables',
      env({ PIP_CERT: '/old' }),
      'fail',
      /: PIP_CERT$/,
    ],
    [
      'a variable that is not set',
      'trust by variables',
      env({ DENO_CERT: undefined }),
      'warn',
      /: DENO_CERT$/,
    ],
    [
      'a program that looks the name up itself',
      'node',
      { run: () => Promise.resolve('getaddrinfo ENOTFOUND') },
      'fail',
      /does not ask/,
    ],
    ['a program that is not here', 'git', { run: () => Promise.resolve(null) }, 'skipped', /not here/],
  ])('tells of %s', async (_title, check, more, status, detail) => {
    const found = await only(check, more);
    expect(found).toMatchObject({ status, detail: expect.stringMatching(detail) as unknown });
    if (status === 'fail' || status === 'warn') expect(found.fix).not.toBe('');
  });

  it('asks the proxy with the token of its URL', async () => {
    const asked: (string | null)[] = [];
    await findings(
      sandbox({
        ask: (_url, authorization) => {
          asked.push(authorization);
          return Promise.resolve(null);
        },
      }),
    );
    expect(asked).toEqual([`Basic ${Buffer.from('agents:sp_tok_x').toString('base64')}`]);
  });

  it('warns where the system does not trust the CA', async () => {
    const read = (file: string): string | null => (file === BUNDLE ? CA : null);
    expect(await only('trust by the system', { read })).toMatchObject({ status: 'warn' });
  });
});

describe('real keys', () => {
  const HOME = '/home/agent';
  it.each<[string, Record<string, string>, string]>([
    ['.env', { '/work/.env': `# x\nexport TOKEN="${REAL}"\n` }, '/work/.env:2 (ghp_…)'],
    ['.netrc', { [`${HOME}/.netrc`]: `machine github.com login x password ${REAL}` }, '.netrc:1 (ghp_…)'],
    ['hosts.yml', { [`${HOME}/.config/gh/hosts.yml`]: `  oauth_token: ${REAL}` }, 'hosts.yml:1 (ghp_…)'],
    [
      '.git-credentials',
      { [`${HOME}/.git-credentials`]: `https://x:${REAL}@github.com` },
      '.git-credentials:1',
    ],
    [
      '.npmrc',
      { [`${HOME}/.npmrc`]: '//registry.test/:_authToken=0123456789abcdef' },
      '.npmrc:1 (a secret by',
    ],
    [
      'aws',
      { [`${HOME}/.aws/credentials`]: `aws_secret_access_key = ${'aB3/'.repeat(10)}` },
      'credentials:1 (a secret by',
    ],
    [
      'ssh',
      { [`${HOME}/.ssh/id_ed25519`]: '-----BEGIN OPENSSH PRIVATE KEY-----\nx' },
      'id_ed25519:1 (a private key)',
    ],
  ])('are found in %s, and told without their value', (_title, files, where) => {
    const found = realKeys(sandbox({ files }), new Set([PLACEHOLDER]));
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(where);
    expect(found.join()).not.toContain(REAL.slice(8));
  });

  it('are found in the environment', async () => {
    expect(realKeys({ ...sandbox(), ...env({ MY_TOKEN: REAL }) }, new Set([PLACEHOLDER]))).toEqual([
      'variable MY_TOKEN (ghp_…)',
    ]);
    expect(await only('real keys', env({ MY_TOKEN: REAL }))).toMatchObject({ status: 'fail' });
  });

  it('are not placeholders, with a marker or as the proxy gave them out, nor ordinary words', () => {
    const files = {
      '/work/.env': [
        `A=${PLACEHOLDER}`,
        'B=sk-proj-SLYPRTQXqSSmuKqBO9gJMDv8g9IbwPwtsE0Ts1fdz2mf0xnQyPzLq',
        'KEY_FILE=key-value-pairs-of-the-application',
        'PATH_TO=/usr/lib/python3/dist-packages/secret_storage',
        'URL=https://example.com/re_numbering-of-everything',
      ].join('\n'),
    };
    expect(realKeys(sandbox({ files }), new Set([PLACEHOLDER]))).toEqual([]);
  });
});
