import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { answerSelf, type SelfAsk } from '../../../src/accept/self.ts';
import { denied } from '../../../src/flow/reason.ts';
import type { SecretSpec } from '../../../src/policy/model.ts';
import { fakeSnapshot } from '../identify/fake-snapshot.ts';

const TOKEN = `sp_tok_${'a'.repeat(16)}_${'b'.repeat(43)}`;

const secret = (env: string): SecretSpec => ({
  env,
  from: { kind: 'env', name: env, text: `env:${env}` },
  hosts: [],
  places: [],
  profile: 'p',
  at: { file: 'p.yaml', line: 1, text: env },
});

function ask(more: Partial<SelfAsk> = {}): SelfAsk {
  return {
    method: 'GET',
    path: '/whoami',
    identity: { id: 'group:agents', group: 'agents', proof: 'source' },
    snapshot: fakeSnapshot([{ name: 'agents', mode: 'monitor', secretTotal: 5 }]),
    proxyUrl: 'http://sallyport:8080',
    credential: { kind: 'none' },
    bindings: [{ env: 'OPENAI_API_KEY', placeholder: 'sk-placeholder' }],
    caPem: 'CA\n',
    bundlePem: 'ROOTS\nCA\n',
    ...more,
  };
}

const bodyOf = (more: Partial<SelfAsk>): string => {
  const answer = answerSelf(ask(more));
  if (!('status' in answer)) throw new Error(`refused: ${answer.reason}`);
  return answer.body;
};

describe('what a sandbox may ask the proxy', () => {
  it('is the CA, the bundle, who it is, and whether the proxy is up', () => {
    expect(answerSelf(ask({ path: '/ca.pem' }))).toEqual({
      status: 200,
      type: 'application/x-pem-file',
      body: 'CA\n',
    });
    expect(answerSelf(ask({ path: '/bundle.pem' }))).toMatchObject({ status: 200, body: 'ROOTS\nCA\n' });
    expect(answerSelf(ask({ path: '/healthz' }))).toMatchObject({ status: 200, body: 'ok\n' });
  });

  it('is answered to HEAD as to GET; the writer leaves the body out', () => {
    expect(answerSelf(ask({ method: 'HEAD' }))).toEqual(answerSelf(ask()));
  });

  it.each(['POST', 'PUT', 'DELETE', 'OPTIONS', 'get'])('is refused to %s', (method) => {
    expect(answerSelf(ask({ method }))).toMatchObject({
      kind: 'deny',
      reason: 'method_refused',
      allow: 'GET, HEAD',
    });
  });

  it.each([
    '/',
    '',
    '/ENV',
    '/env/',
    '//env',
    '/ca.pem/../env',
    '/api/v1/status',
    '/metrics',
    '*',
    '/env%20',
  ])('is refused, with the list of what there is, at %s', (path) => {
    expect(answerSelf(ask({ path }))).toMatchObject({
      kind: 'deny',
      reason: 'bad_request',
      detail: expect.stringContaining(
        '/ca.pem, /bundle.pem, /env, /install.sh, /doctor.sh, /preload.cjs, /whoami, /healthz',
      ) as unknown,
    });
  });

  it('needs an identity but for /healthz', () => {
    const refusal = denied('auth_required');
    for (const path of [
      '/ca.pem',
      '/bundle.pem',
      '/env',
      '/install.sh',
      '/doctor.sh',
      '/preload.cjs',
      '/whoami',
    ]) {
      expect(answerSelf(ask({ path, identity: refusal }))).toBe(refusal);
    }
    expect(answerSelf(ask({ path: '/healthz', identity: refusal }))).toMatchObject({ status: 200 });
  });

  it('is refused to an identity whose group is gone', () => {
    expect(answerSelf(ask({ snapshot: fakeSnapshot([]) }))).toMatchObject({ reason: 'auth_invalid' });
  });
});

describe('/whoami', () => {
  it('tells group, identity, keys, mode and policy, and nothing else', () => {
    const secrets = ['A', 'B', 'C'].map(secret);
    const snapshot = fakeSnapshot([{ name: 'agents', mode: 'monitor', secrets, secretTotal: 5 }]);
    const answer = answerSelf(ask({ snapshot }));
    expect(answer).toMatchObject({ status: 200, type: 'application/json' });
    expect(JSON.parse(bodyOf({ snapshot }))).toEqual({
      group: 'agents',
      identity: 'group:agents',
      keys: { usable: 3, total: 5 },
      mode: 'monitor',
      policy: 'abc123def456',
    });
  });
});

describe('/env', () => {
  const json = (more: Partial<SelfAsk> = {}): Record<string, string> =>
    JSON.parse(bodyOf({ path: '/env?format=json', ...more })) as Record<string, string>;

  it('as JSON is a flat object of names and values', () => {
    const variables = json();
    for (const name of ['HTTPS_PROXY', 'https_proxy', 'HTTP_PROXY', 'http_proxy', 'ALL_PROXY', 'all_proxy']) {
      expect(variables[name], name).toBe('http://sallyport:8080');
    }
    expect(variables).toMatchObject({
      NO_PROXY: 'localhost,127.0.0.1,::1',
      no_proxy: 'localhost,127.0.0.1,::1',
      NODE_USE_ENV_PROXY: '1',
      NODE_EXTRA_CA_CERTS: '/etc/sallyport/ca.crt',
      SSL_CERT_FILE: '/etc/sallyport/bundle.crt',
      GIT_SSL_CAINFO: '/etc/sallyport/bundle.crt',
      CURL_CA_BUNDLE: '/etc/sallyport/bundle.crt',
      OPENAI_API_KEY: 'sk-placeholder',
    });
    expect(Object.values(variables).every((value) => typeof value === 'string')).toBe(true);
  });

  it('puts the token into the proxy URL where one was used, with the group as its label', () => {
    const withToken = json({
      credential: { kind: 'token', token: TOKEN },
      identity: { id: 'tok_1', group: 'agents', proof: 'token' },
    });
    expect(withToken['HTTPS_PROXY']).toBe(`http://agents:${TOKEN}@sallyport:8080`);
    expect(withToken['JAVA_TOOL_OPTIONS']).not.toContain(TOKEN);
  });

  it('tells Java host and port, port 80 where the URL names none', () => {
    expect(json()['JAVA_TOOL_OPTIONS']).toContain('-Dhttps.proxyHost=sallyport -Dhttps.proxyPort=8080 ');
    expect(json({ proxyUrl: 'http://sallyport:80' })['JAVA_TOOL_OPTIONS']).toContain('-Dhttp.proxyPort=80 ');
  });

  it('never lets a key take the place of a variable of the environment', () => {
    const variables = json({ bindings: [{ env: 'HTTPS_PROXY', placeholder: 'evil' }] });
    expect(variables['HTTPS_PROXY']).toBe('http://sallyport:8080');
  });

  it('does not print a key whose name no shell could hold', () => {
    const bindings = [{ env: 'A;rm -rf /', placeholder: 'x' }];
    expect(() => answerSelf(ask({ path: '/env', bindings }))).toThrow();
  });

  it('names the same variables in every format', () => {
    const names = Object.keys(json()).sort();
    const namesOf = (format: string, line: RegExp): string[] =>
      [...bodyOf({ path: `/env?format=${format}` }).matchAll(line)].map((match) => match[1] ?? '').sort();
    expect(namesOf('dotenv', /^(\w+)=/gm)).toEqual(names);
    expect(namesOf('docker', /^(\w+)=/gm)).toEqual(names);
    expect(namesOf('sh', /^ *export (\w+)=/gm)).toEqual(names);
    expect(namesOf('compose', /^ {2}(\w+): "/gm)).toEqual(names);
    expect(namesOf('k8s', /^ {2}- name: (\w+)$/gm)).toEqual(names);
    expect(bodyOf({ path: '/env' })).toBe(bodyOf({ path: '/env?format=sh' }));
    expect(bodyOf({ path: '/env' })).toBe(bodyOf({ path: '/env?format=export' }));
  });

  it('as dotenv quotes what needs it, and keeps line breaks', () => {
    const bindings = [
      { env: 'PLAIN', placeholder: 'sk-a_b.c/d' },
      { env: 'DOLLAR', placeholder: 'a$HOME #x' },
      { env: 'PEM', placeholder: '-----BEGIN\nab\n' },
      { env: 'QUOTE', placeholder: `it's "$x" \\` },
    ];
    const lines = bodyOf({ path: '/env?format=dotenv', bindings }).trimEnd().split('\n').slice(-4);
    expect(lines).toEqual([
      'PLAIN=sk-a_b.c/d',
      "DOLLAR='a$HOME #x'",
      String.raw`PEM="-----BEGIN\nab\n"`,
      String.raw`QUOTE="it's \"\$x\" \\"`,
    ]);
  });

  it('for Docker gives values as they are, and says which it cannot hold', () => {
    const bindings = [
      { env: 'A', placeholder: `it's $x` },
      { env: 'PEM', placeholder: 'a\nHTTPS_PROXY=' },
    ];
    const lines = bodyOf({ path: '/env?format=docker', bindings }).trimEnd().split('\n').slice(-2);
    expect(lines).toEqual(["A=it's $x", '# PEM: has line breaks, which this format cannot hold']);
  });

  it('for compose files and Kubernetes is YAML that gives every value back, whatever is in it', () => {
    const value = 'it\'s "$HOME" $(Y) $$ #\n- name: EVIL\u0085\u2028 \\';
    const bindings = [{ env: 'ODD', placeholder: value }];
    const compose: unknown = parse(bodyOf({ path: '/env?format=compose', bindings }));
    const escaped = value.replaceAll('$', '$$$$');
    expect(compose).toMatchObject({ environment: { ODD: escaped, NODE_USE_ENV_PROXY: '1' } });
    const k8s = parse(bodyOf({ path: '/env?format=k8s', bindings })) as {
      env: { name: string; value: string }[];
    };
    expect(k8s.env.at(-1)).toEqual({ name: 'ODD', value: escaped });
    expect(k8s.env.filter(({ name }) => name === 'EVIL')).toEqual([]);
  });

  it.each(['?format=xml', '?format=', '?', '?format=json&x=1', '?x=1', '?format=json?', '?FORMAT=json'])(
    'refuses the query %s',
    (query) => {
      const answer = answerSelf(ask({ path: `/env${query}` }));
      if (query === '?') expect(answer).toMatchObject({ status: 200 });
      else expect(answer).toMatchObject({ reason: 'bad_request' });
    },
  );
});
