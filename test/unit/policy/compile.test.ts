import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadPolicies } from '../../../src/config/load.ts';
import { byteRate, byteRateText, requestRate, requestRateText } from '../../../src/policy/units.ts';
import { containing, load, problemsOf, setOf } from './policy-folder.ts';

const base = (...lines: readonly string[]) => ({ 'g.yaml': ['version: 1', 'group: g', ...lines].join('\n') });
const profile = (...secrets: readonly string[]) => ({
  'profiles/p.yaml': ['version: 1', 'profile: p', 'secrets:', ...secrets.map((one) => `  - ${one}`)].join(
    '\n',
  ),
});

describe('a policy file with a mistake names line, column and the fix', () => {
  it.each([
    ['rules: [{ allow: a.test, method: [GET] }]', 3, 26, 'unknown key `method`', 'did you mean "methods"?'],
    [
      'rules: [{ alow: a.test }]',
      3,
      11,
      'a rule needs one of `allow`, `deny`, `approve`',
      'did you mean "allow"?',
    ],
    [
      'rules: [{ allow: a.test, deny: b.test }]',
      3,
      9,
      'a rule cannot be allow and deny at once',
      'make them two rules',
    ],
    [
      'rules: [{ allow: a.test, wait: 5m }]',
      3,
      26,
      '`wait` does not belong to a rule of kind `allow`',
      'remove it: it belongs to an `approve` rule',
    ],
    [
      'rules: [{ deny: a.test, tls: tunnel }]',
      3,
      25,
      '`tls` does not belong to a rule of kind `deny`',
      'remove it: it belongs to an `allow` rule',
    ],
    [
      'rules: [{ allow: "*.com" }]',
      3,
      18,
      '"*.com" is as wide as a public suffix',
      'name the domain: "*.example.com"',
    ],
    [
      'rules: [{ allow: [a.test, bücher.example] }]',
      3,
      27,
      '"bücher.example" is not in A-labels',
      'write "xn--bcher-kva.example"',
    ],
    [
      'rules: [{ allow: faß.example:8443 }]',
      3,
      18,
      '"faß.example:8443" is not in A-labels',
      'write "xn--fa-hia.example:8443"',
    ],
    ['rules: [{ allow: a.test, methods: get }]', 3, 35, '`methods` cannot be "get"', 'write a list: ["GET"]'],
    ['rules: [{ allow: a.test, ports: [70000] }]', 3, 34, '70000 is no port', 'write a port from 1 to 65535'],
    ['rules: [{ allow: a.test, ports: [0] }]', 3, 34, '0 is no port', 'write a port from 1 to 65535'],
    ['rules: [{ allow: a.test, methods: [get] }]', 3, 36, '"get": methods are case-sensitive', 'write GET'],
    [
      'rules: [{ allow: a.test, methods: [TRACE] }]',
      3,
      36,
      'TRACE is never passed on inside a connection',
      'remove it',
    ],
    ['rules: [{ allow: a.test, paths: [v1] }]', 3, 34, '"v1" is not absolute', 'write "/v1"'],
    [
      'rules: [{ allow: a.test, addresses: [10.1.2.3/8] }]',
      3,
      38,
      '"10.1.2.3/8" is no address range in canonical form',
      'write 10.0.0.0/8',
    ],
    ['rules: [{ allow: a.test, ports: [0] }]', 3, 34, null, null],
    ['rules: [{ allow: a.test, ports: 8443 }]', 3, 33, '`ports` cannot be 8443', 'write a list: [8443]'],
    ['rules: [{ allow: 1.5 }]', 3, 18, '`allow` cannot be 1.5', 'write a text or a list'],
    ['rules: [{ allow: a.test, idle: 10 minutes }]', 3, 32, null, null],
    [
      'rules: [{ allow: a.test, tls: tunnel, methods: [GET] }]',
      3,
      31,
      '`tls: tunnel` hides the requests that `methods` would judge',
      'keep one of the two',
    ],
    ['rules: [{ allow: a.test, protocol: any, paths: [/x] }]', 3, 36, null, 'keep one of the two'],
    ['mode: monitr', 3, 7, '`mode` cannot be "monitr"', 'did you mean "monitor"?'],
    ['identify: { sources: [172.25.0.1/16] }', 3, 23, null, 'write 172.25.0.0/16'],
    ['limit: {}', 3, 1, 'unknown key `limit`', 'did you mean "limits"?'],
    ['limits: { requests: 600 }', 3, 21, '`requests` cannot be 600', 'say per what: 600/m'],
    ['profile: nope', 3, 10, 'there is no profile "nope" under profiles/', 'remove it'],
    ['refuse: later', 3, 9, '`refuse` cannot be "later"', 'known: on_connect, inside'],
    ['group: h', 3, 1, null, 'keep one of the two keys'],
    ['rules: [{ allow: *.example.com }]', 3, null, null, 'quote the star: "*"'],
    ['rules: [{ allow: a.test }', 3, null, null, null],
  ])('%s', (line, row, column, message, fix) => {
    const [first] = problemsOf(base(line));
    expect(first).toMatchObject({
      file: 'policies/g.yaml',
      line: row,
      ...(column === null ? {} : { column }),
      ...(message === null ? {} : { message }),
      ...(fix === null ? {} : { fix }),
    });
  });

  it('names every mistake at once, in the order of the file', () => {
    const found = problemsOf(base('mode: off', 'rules:', '  - allow: a.test', '    path: [/x]', '  - 5'));
    expect(found.map(({ line }) => line)).toEqual([3, 6, 7]);
  });

  it.each([
    ['', '`group`'],
    ['[]', 'the file'],
    ['version: 2\ngroup: g', '`version`'],
    ['just text', 'the file'],
    ['a: &a [1]\nb: *a', 'unknown key'],
    ['---\nversion: 1\n---\nversion: 1', 'not valid YAML'],
    ['version: !!int 1\ngroup: !thing g', 'not valid YAML'],
    ['__proto__: 1\nversion: 1\ngroup: g', 'unknown key'],
    ['constructor: 1\nversion: 1\ngroup: g', 'unknown key'],
  ])('refuses %j', (text, words) => {
    const found = problemsOf({ 'g.yaml': text });
    expect(found.map(({ message }) => message).join('\n')).toContain(text === '' ? 'empty' : words);
  });
});

describe('what needs more than one file', () => {
  it('does not load two groups of one name, or equal ranges of two groups', () => {
    const a = 'version: 1\ngroup: a\nidentify: { sources: [10.0.0.0/8, 172.25.0.0/16] }\n';
    expect(problemsOf({ 'a.yaml': a, 'b.yaml': a })).toContainEqual(
      expect.objectContaining({ message: 'group a is defined in policies/a.yaml, too' }),
    );
    expect(problemsOf({ 'a.yaml': a, 'b.yaml': a.replace('group: a', 'group: b') })).toMatchObject([
      { file: 'policies/b.yaml', line: 3, message: '10.0.0.0/8 belongs to group a as well' },
      { message: '172.25.0.0/16 belongs to group a as well' },
    ]);
    const nested = 'version: 1\ngroup: b\nidentify: { sources: [172.25.1.0/24] }\n';
    expect(problemsOf({ 'a.yaml': a, 'b.yaml': nested })).toEqual([]);
  });

  it('does not load monitor mode where the guardrails forbid it', () => {
    const rails = { 'guardrails.yaml': 'version: 1\nenforce_only: true\n' };
    expect(problemsOf({ ...base('mode: monitor'), ...rails })).toMatchObject([
      { line: 3, fix: 'write mode: enforce' },
    ]);
    expect(problemsOf({ ...base('mode: enforce'), ...rails })).toEqual([]);
  });

  it('lets guardrails deny only', () => {
    const rails = { 'guardrails.yaml': 'version: 1\nrules:\n  - allow: a.test\n' };
    expect(problemsOf({ ...base(), ...rails })).toContainEqual(
      expect.objectContaining({
        file: 'policies/guardrails.yaml',
        line: 3,
        fix: 'guardrails hold `deny` rules only',
      }),
    );
  });

  it('does not load a key whose hosts the rules do not reach', () => {
    const key = profile('{ env: KEY, from: "vault:k", hosts: [api.test, "*.cdn.test"] }');
    const lines = (rule: string) => base('profile: p', `rules: [${rule}]`);
    expect(problemsOf({ ...key, ...lines('{ allow: api.test }') })).toMatchObject([
      { file: 'policies/g.yaml', line: 3, message: containing('*.cdn.test') },
    ]);
    expect(problemsOf({ ...key, ...lines('{ allow: [api.test, x.cdn.test] }') })).toEqual([]);
    expect(problemsOf({ ...key, ...lines('{ approve: api.test }, { allow: "*" }') })).toEqual([]);
    expect(problemsOf({ ...key, ...lines('{ deny: api.test }, { allow: "*" }') })).toHaveLength(1);
    expect(problemsOf({ ...key, ...lines('{ deny: "*" }, { allow: "*" }') })).toHaveLength(2);
    expect(problemsOf({ ...key, ...lines('{ allow: ["api.test:8443", "*.cdn.test"] }') })).toHaveLength(1);
    expect(problemsOf({ ...key, ...base('profile: p', 'exclude: [KEY]') })).toEqual([]);
  });

  it('does not load a key that only a guardrail keeps from its host', () => {
    const files = {
      ...profile('{ env: KEY, from: "vault:k", hosts: [api.test] }'),
      ...base('profile: p', 'rules: [{ allow: api.test }]'),
    };
    expect(problemsOf(files)).toEqual([]);
    expect(
      problemsOf({ ...files, 'guardrails.yaml': 'version: 1\nrules: [{ deny: "*.test" }]\n' }),
    ).toHaveLength(1);
  });

  it('does not tunnel what a key or a rule needs to read', () => {
    const key = profile('{ env: KEY, from: "vault:k", hosts: [api.test] }');
    expect(
      problemsOf({ ...key, ...base('profile: p', 'rules: [{ allow: api.test, tls: tunnel }]') }),
    ).toMatchObject([{ message: containing('key KEY') }]);
    const judged = 'rules: [{ deny: "*.test", methods: [DELETE] }, { allow: api.test, tls: tunnel }]';
    expect(problemsOf(base(judged))).toMatchObject([{ message: containing('deny *.test') }]);
    expect(
      problemsOf(base('rules: [{ allow: api.test, tls: tunnel }, { allow: "*", methods: [GET] }]')),
    ).toEqual([]);
    const rails = { 'guardrails.yaml': 'version: 1\nrules: [{ deny: "*", paths: [/admin/**] }]\n' };
    expect(problemsOf({ ...rails, ...base('rules: [{ allow: "*.api.test", tls: tunnel }]') })).toHaveLength(
      1,
    );
  });

  it('does not exclude keys that the profile does not have', () => {
    const key = profile('{ env: OPENAI_API_KEY, from: "vault:k", hosts: [a.test] }');
    expect(
      problemsOf({ ...key, ...base('profile: p', 'exclude: [OPENAI_KEY]', 'rules: [{ allow: a.test }]') }),
    ).toMatchObject([
      { line: 4, message: 'the profile has no key OPENAI_KEY', fix: 'did you mean "OPENAI_API_KEY"?' },
    ]);
  });
});

describe('a profile', () => {
  it.each([
    ['{ env: K, from: "vault:", hosts: [a.test] }', 'write vault:NAME'],
    [
      '{ env: K, from: "vualt:x", hosts: [a.test] }',
      'write one of vault:, env:, file:, stronghold:, kv:, command:, mint:',
    ],
    ['{ env: K, from: "kv:path", hosts: [a.test] }', 'write kv:MOUNT/PATH#FIELD'],
    ['{ env: K, from: "kv:mount#field", hosts: [a.test] }', 'write kv:MOUNT/PATH#FIELD'],
    ['{ env: K, from: "kv:mount/../sys#field", hosts: [a.test] }', 'write kv:MOUNT/PATH#FIELD'],
    [
      '{ env: K, from: "stronghold:--all", hosts: [a.test] }',
      'write stronghold:DEPLOYMENT, or stronghold:DEPLOYMENT#VARIABLE',
    ],
    [
      '{ env: K, from: "command:cat $HOME/key", hosts: [a.test] }',
      'write command:PROGRAM ARGUMENT, without a shell',
    ],
    ['{ env: K, from: "vault:k", hosts: ["*"] }', 'name the hosts of this key'],
    ['{ env: K, from: "vault:k", hosts: [] }', 'write at least one entry'],
    ['{ env: K, from: "vault:k" }', 'add `hosts: [HOST]`'],
    ['{ env: 1K, from: "vault:k", hosts: [a.test] }', 'write it like OPENAI_API_KEY'],
    ['{ env: LD_PRELOAD, from: "vault:k", hosts: [a.test] }', 'choose another name'],
    ['{ env: https_proxy, from: "vault:k", hosts: [a.test] }', 'choose another name'],
    [
      '{ env: K, from: "vault:k", hosts: [a.test], in: [haeder] }',
      'write header, header:NAME, basic, query, query:NAME, path, body or websocket',
    ],
    [
      '{ env: K, from: "vault:k", hosts: [a.test], in: ["header:Host"] }',
      'name the header that the API reads',
    ],
    [
      '{ env: K, from: "vault:k", hosts: [a.test], placeholder: { prefix: AC, length: 34, alphabet: hexx } }',
      'did you mean "hex"?',
    ],
    ['{ env: K, from: "vault:k", hosts: [a.test], placehoder: pem }', 'did you mean "placeholder"?'],
  ])('%s is refused: %s', (secret, fix) => {
    const found = problemsOf({ ...profile(secret), ...base('rules: [{ allow: a.test }]') });
    expect(found.map((one) => one.fix)).toContain(fix);
  });

  it('is read with its defaults', () => {
    const set = setOf({
      ...profile(
        '{ env: A, from: "vault:a", hosts: [a.test] }',
        '{ env: B, from: "file:/run/b", hosts: [a.test], in: ["header:X-Key", "query:key", path], placeholder: pem }',
        '{ env: C, from: "env:C", hosts: [a.test], placeholder: { prefix: AC, length: 34, alphabet: hex } }',
      ),
      ...base('profile: p', 'rules: [{ allow: a.test }]'),
    });
    expect(set.groups.get('g')?.secrets).toMatchObject([
      {
        env: 'A',
        from: { kind: 'vault', name: 'a', text: 'vault:a' },
        places: [{ kind: 'header' }, { kind: 'basic' }],
      },
      {
        env: 'B',
        from: { kind: 'file', name: '/run/b' },
        places: [{ kind: 'header', name: 'x-key' }, { kind: 'query', name: 'key' }, { kind: 'path' }],
        placeholder: 'pem',
      },
      { placeholder: { prefix: 'AC', length: 34, alphabet: 'hex' }, profile: 'p' },
    ]);
  });
});

describe('a key of a deployment', () => {
  it('is the variable that the sandbox knows it by, where none is named', () => {
    const set = setOf({
      ...profile(
        '{ env: A, from: "stronghold:production", hosts: [a.test] }',
        '{ env: B, from: "stronghold:production#OTHER", hosts: [a.test] }',
      ),
      ...base('profile: p', 'rules: [{ allow: a.test }]'),
    });
    expect(set.groups.get('g')?.secrets.map(({ from }) => from)).toEqual([
      { kind: 'stronghold', name: 'production#A', text: 'stronghold:production#A' },
      { kind: 'stronghold', name: 'production#OTHER', text: 'stronghold:production#OTHER' },
    ]);
  });
});

describe('warnings', () => {
  it.each([
    ['mode: monitor\nrules: [{ deny: "*" }]', 'monitor mode lets through'],
    ['rules: [{ allow: "*" }]', '`*` reaches every public host'],
    ['rules: []', 'a group without rules'],
    ['rules: [{ allow: a.test }]\nlimits: { connections: 5 }', 'fewer than most clients open'],
    ['rules: [{ allow: a.test }]\nlimits: { connections: 20000 }', 'more than one process keeps for a group'],
    ['rules: [{ allow: a.test }]\nlimits: { requests: 1/s }', 'lets in only 1 at once'],
    ['rules: [{ allow: a.test }]\nlimits: { upload: 10MiB/s }', 'does not slow down'],
    ['rules: [{ allow: a.test }]\nlimits: { download: 64KiB/d }', 'used up by a single TLS session'],
    ['mode: monitor\nrules: [{ deny: "*" }]\nlimits: { connections: 5 }', 'records limits and lifts them'],
    ['rules: [{ allow: "*.github.io" }]', 'anyone can have a site below github.io'],
    ['rules: [{ allow: a.test, addresses: [0.0.0.0/0] }]', 'is a very wide range'],
    ['rules: [{ allow: 10.1.2.3 }]', '10.1.2.3 is not public: this rule does not open it'],
    ['rules: [{ allow: 169.254.169.254, addresses: [169.254.0.0/16] }]', 'which no rule can open'],
    ['rules: [{ allow: x.cloudfront.net, tls: tunnel }]', 'front end of many sites'],
    ['rules: [{ allow: "*.test" }, { deny: a.test }]', '"deny a.test" is never reached'],
    ['rules: [{ deny: "*" }, { allow: a.test }]', '"allow a.test" is never reached'],
  ])('%s: %s', (lines, words) => {
    const set = setOf(base(...lines.split('\n')));
    expect(set.warnings.map(({ message }) => message).join('\n')).toContain(words);
  });

  it('are none for sound limits', () => {
    const limits = 'limits: { connections: 256, requests: 600/m, upload: 1GiB/d, download: 20GiB/d }';
    expect(setOf(base('rules: [{ allow: a.test }]', limits)).warnings).toEqual([]);
  });

  it('are none for a sound policy', () => {
    expect(setOf(base('rules: [{ allow: a.test, methods: [GET] }, { allow: a.test }]')).warnings).toEqual([]);
  });
});

describe('limits and units', () => {
  it('become numbers', () => {
    const set = setOf(
      base('limits: { connections: 256, requests: 600/m, upload: 1GiB/d, download: 20MB/h }'),
    );
    expect(set.groups.get('g')?.limits).toEqual({
      connections: 256,
      requests: { amount: 600, perMs: 60_000 },
      upload: { amount: 2 ** 30, perMs: 86_400_000 },
      download: { amount: 20e6, perMs: 3_600_000 },
    });
  });
});

describe('limits that cannot be meant', () => {
  it.each([
    ['limits: { connections: 0 }', 'connections'],
    ['limits: { connections: 1000001 }', 'connections'],
    ['limits: { requests: 0/m }', 'no rate such as 600/m'],
    ['limits: { requests: 600/w }', 'no rate such as 600/m'],
    ['limits: { upload: 1GiB }', 'no byte rate such as 1GiB/d'],
    ['limits: { upload: -1GiB/d }', 'no byte rate such as 1GiB/d'],
    ['limits: { download: 999999999TiB/d }', 'more than 4096TiB'],
  ])('%s is an error', (line, words) => {
    expect(
      problemsOf(base(line))
        .map((problem) => JSON.stringify(problem))
        .join('\n'),
    ).toContain(words);
  });

  it('are written back as they were read', () => {
    for (const text of ['1GiB/d', '20MB/h', '1B/s', '1536MiB/m'])
      expect(byteRateText(byteRate(text))).toBe(text);
    for (const text of ['600/m', '1/d']) expect(requestRateText(requestRate(text))).toBe(text);
  });
});

describe('the folder', () => {
  it('is read whole: one bad file keeps every file from loading', () => {
    expect(load({ ...base('rules: [{ allow: a.test }]'), 'other.yml': 'group: [' }).ok).toBe(false);
  });

  it('leaves hidden files and other kinds alone', () => {
    const set = setOf({ ...base(), '.swap.yaml': '{', 'README.md': '# {', 'schema/policy.json': '{' });
    expect([...set.groups.keys()]).toEqual(['g']);
  });

  it('that is missing, or holds what is no text, is refused in words', () => {
    expect(loadPolicies('/nonexistent/policies')).toMatchObject({ ok: false, problems: [{ line: 0 }] });
    expect(problemsOf({ 'g.yaml': '\u{feff}version: 1\ngroup: g' })).toEqual([]);
    expect(
      problemsOf({ ...base(), 'guardrails.yaml': 'version: 1', 'guardrails.yml': 'version: 1' }),
    ).toMatchObject([{ message: 'there are two guardrails files' }]);
    const dir = mkdtempSync(join(tmpdir(), 'sallyport-bytes-'));
    writeFileSync(join(dir, 'g.yaml'), Buffer.from([0x76, 0xff, 0xfe]));
    expect(loadPolicies(dir)).toMatchObject({
      problems: [{ message: 'the file is not UTF-8 text', line: 1, column: 2 }],
    });
    rmSync(dir, { recursive: true });
    expect(loadPolicies(dir, [join(dir, 'g.yaml')]).ok).toBe(false);
  });

  it('gives the same hash for the same bytes only', () => {
    const one = setOf(base('rules: [{ allow: a.test }]')).hash;
    expect(one).toMatch(/^[0-9a-f]{12}$/);
    expect(setOf(base('rules: [{ allow: a.test }]')).hash).toBe(one);
    expect(setOf(base('rules: [{ allow: b.test }]')).hash).not.toBe(one);
  });
});
