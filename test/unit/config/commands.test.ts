import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { rootCertificates } from 'node:tls';
import { Command } from 'commander';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { addCheck } from '../../../src/cli/check.ts';
import { addExplain } from '../../../src/cli/explain.ts';
import { CliError } from '../../../src/cli/io.ts';
import { addTest } from '../../../src/cli/test.ts';

let cwd: string;
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'sallyport-commands-'));
  write(
    'policies/g.yaml',
    'version: 1\ngroup: g\nidentify: { sources: [10.0.0.0/8] }\nrules: [{ allow: a.test, methods: [GET] }]\ntests: [{ request: "GET https://a.test", expect: allow }]\n',
  );
});
afterEach(() => rmSync(cwd, { recursive: true, force: true }));

function write(name: string, text: string): void {
  mkdirSync(dirname(join(cwd, name)), { recursive: true });
  writeFileSync(join(cwd, name), text);
}

async function run(...argv: readonly string[]): Promise<{ status: number; out: string; error: string }> {
  const stdout = new PassThrough();
  const io = { stdin: Readable.from([]), stdout, stderr: new PassThrough(), env: {}, cwd };
  const program = new Command('sallyport').exitOverride();
  for (const add of [addCheck, addExplain, addTest]) add(program, io);
  let status = 0;
  let error = '';
  try {
    await program.parseAsync([...argv], { from: 'user' });
  } catch (thrown) {
    if (!(thrown instanceof CliError)) throw thrown;
    status = thrown.status;
    error = thrown.message;
  }
  stdout.end();
  return { status, out: Buffer.concat(await stdout.toArray()).toString('utf8'), error };
}

describe('check', () => {
  it('ends with 0 and names what is in order', async () => {
    const { status, out } = await run('check');
    expect(status).toBe(0);
    expect(out).toMatch(/^ok: settings: the defaults\nok: .*policies: g \(policy [0-9a-f]{12}\)\n$/);
  });

  it('ends with 1 and names file, line, column and fix', async () => {
    write('policies/bad.yaml', 'version: 1\ngroup: bad\nrules:\n  - alow: x.test\n');
    const { status, out } = await run('check');
    expect(status).toBe(1);
    expect(out).toContain(
      'error: policies/bad.yaml:4:5: a rule needs one of `allow`, `deny`, `approve` (did you mean "allow"?)',
    );
    expect((await run('check', 'policies/g.yaml')).status).toBe(0);
    expect((await run('check', 'policies/bad.yaml')).status).toBe(1);
    const report = JSON.parse((await run('check', '--json')).out) as unknown;
    expect(report).toMatchObject({
      ok: false,
      problems: [{ file: 'policies/bad.yaml', line: 4, column: 5 }],
    });
  });

  it('reads the files of tls.extra_ca, and names the entry that is missing or bad', async () => {
    const pem = rootCertificates[0] ?? '';
    write('good.pem', pem);
    write('empty.pem', 'nothing\n');
    write('broken.pem', pem.replace(/\n[A-Za-z0-9+/]{20}/, '\nAAAAAAAAAAAAAAAAAAAA'));
    write('sallyport.yaml', 'tls:\n  extra_ca: [good.pem]\n');
    expect((await run('check')).status).toBe(0);
    write(
      'sallyport.yaml',
      'tls:\n  extra_ca:\n    - good.pem\n    - gone.pem\n    - empty.pem\n    - broken.pem\n',
    );
    const { status, out } = await run('check');
    expect(status).toBe(1);
    expect(out.match(/^error: .*$/gm)).toEqual([
      expect.stringMatching(
        /^error: sallyport\.yaml:4:7: .*gone\.pem cannot be read \(ENOENT\) \(name a PEM file/,
      ),
      expect.stringMatching(/^error: sallyport\.yaml:5:7: .*empty\.pem holds no certificate \(name a/),
      expect.stringMatching(
        /^error: sallyport\.yaml:6:7: .*broken\.pem holds a certificate that cannot be read/,
      ),
    ]);
  });

  it('judges a policy file with the profiles and guardrails beside it, and settings by themselves', async () => {
    write(
      'policies/profiles/p.yaml',
      'version: 1\nprofile: p\nsecrets: [{ env: K, from: "vault:k", hosts: [a.test] }]\n',
    );
    write('policies/h.yaml', 'version: 1\ngroup: h\nprofile: p\nrules: [{ allow: b.test }]\n');
    expect((await run('check', 'policies/h.yaml')).out).toContain('key K');
    expect((await run('check', 'policies/profiles/p.yaml')).status).toBe(0);
    write('sallyport.yaml', 'proxy: { listen: nowhere }');
    expect((await run('check', 'sallyport.yaml')).status).toBe(1);
    expect(await run('check', 'none.yaml')).toMatchObject({ status: 2, error: 'there is no file none.yaml' });
  });

  it('prints warnings and still ends with 0', async () => {
    write('policies/g.yaml', 'version: 1\ngroup: g\nmode: monitor\nrules: [{ deny: "*" }]\n');
    const { status, out } = await run('check');
    expect(status).toBe(0);
    expect(out).toContain('warning: policies/g.yaml:3:7: monitor mode');
  });
});

describe('explain', () => {
  it('prints the decision of a group, and ends with 1 for a refusal', async () => {
    const allowed = await run('explain', '--group', 'g', 'https://a.test/x');
    expect(allowed).toMatchObject({ status: 0 });
    expect(allowed.out).toMatch(
      /^allow {2}https:\/\/a\.test\/x\n[\s\S]*> policies\/g\.yaml:4 {2}allow a\.test {2}decides\n$/,
    );
    const refused = await run('explain', '--group', 'g', 'POST', 'https://a.test/x', '--json');
    expect(refused.status).toBe(1);
    expect(JSON.parse(refused.out)).toMatchObject({
      group: 'g',
      verdict: 'deny',
      reason: 'method_not_allowed',
      rule: null,
    });
  });

  it('finds the group by client address and by identity', async () => {
    expect((await run('explain', '--from', '10.9.9.9', 'https://a.test/')).out).toContain('group    g');
    expect((await run('explain', '--from', '11.9.9.9', 'https://a.test/')).out).toContain('auth_required');
    expect((await run('explain', '--identity', 'group:g', 'https://a.test/')).status).toBe(0);
    expect((await run('explain', '--identity', 'tok_none', 'https://a.test/')).error).toContain(
      'no identity',
    );
  });

  it.each([
    [['explain', 'https://a.test/'], 2],
    [['explain', '--group', 'g', '--from', '10.0.0.1', 'https://a.test/'], 2],
    [['explain', '--group', 'g', 'a.test'], 2],
    [['explain', '--group', 'g', 'https://127.1/'], 2],
    [['explain', '--group', 'none', 'https://a.test/'], 1],
  ])('%j ends with %i', async (argv, status) => {
    expect(await run(...argv)).toMatchObject({ status });
  });
});

describe('test', () => {
  it('counts what passed and shows what failed', async () => {
    expect(await run('test')).toMatchObject({ status: 0, out: '1 passed, 0 failed\n' });
    write(
      'policies/h.yaml',
      'version: 1\ngroup: h\ntests: [{ request: "GET https://a.test", expect: allow }]\n',
    );
    const { status, out } = await run('test');
    expect(status).toBe(1);
    expect(out).toContain(
      'failed: policies/h.yaml:3: h: GET https://a.test\n  verdict: expected allow, got deny (host_not_allowed)\n',
    );
    expect((await run('test', 'policies/g.yaml')).status).toBe(0);
    expect(JSON.parse((await run('test', '--json')).out)).toMatchObject({ passed: 1, failed: 1 });
  });
});
