/** Every shell script below deploy/: what a linter says of it, and what it does when it is used wrongly. */
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ROOT } from '../helpers/import-table.ts';
import { describeWith } from '../helpers/programs.ts';

const DEPLOY = path.join(ROOT, 'deploy');
const SCRIPTS = readdirSync(DEPLOY, { recursive: true, encoding: 'utf8' }).filter(
  (name) =>
    statSync(path.join(DEPLOY, name)).isFile() &&
    readFileSync(path.join(DEPLOY, name), 'utf8').startsWith('#!/bin/'),
);

describeWith(['shellcheck'], 'shellcheck', () => {
  it('finds nothing, and each is for any POSIX shell and can be run', () => {
    expect(SCRIPTS.length).toBeGreaterThan(2);
    for (const name of SCRIPTS) {
      const file = path.join(DEPLOY, name);
      expect(readFileSync(file, 'utf8'), name).toMatch(/^#!\/bin\/sh\n/);
      expect(statSync(file).mode & 0o111, name).toBe(0o111);
      expect(execFileSync('shellcheck', ['-s', 'sh', file], { encoding: 'utf8' }), name).toBe('');
    }
    // Read by other shells, never run.
    execFileSync('shellcheck', ['-s', 'sh', path.join(DEPLOY, 'openclaw/profile.sh')]);
  });
});

describe('verify.sh', () => {
  const run = (...args: string[]): ReturnType<typeof spawnSync> =>
    spawnSync('sh', [path.join(DEPLOY, 'compose/verify.sh'), ...args], { encoding: 'utf8' });

  it('says how it is used, and what is wrong with a word that it does not know', () => {
    expect(run('--help')).toMatchObject({ status: 0, stderr: '' });
    expect(run('--help').stdout).toContain('--allowed URL');
    expect(run('--bogus')).toMatchObject({ status: 2, stdout: '' });
    expect(run('--bogus').stderr).toContain('unknown option --bogus');
    expect(run('--timeout', 'soon').status).toBe(2);
    expect(run('--proxy').status).not.toBe(0);
  });
});

describe('setup.sh', () => {
  let dir = '';
  beforeEach(() => {
    dir = mkdtempSync(path.join(tmpdir(), 'sallyport-setup-'));
    cpSync(path.join(DEPLOY, 'compose'), dir, { recursive: true });
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  it('makes each secret that compose.yaml names, out of random bytes, and leaves it when it is run again', () => {
    const script = path.join(dir, 'setup.sh');
    execFileSync(script);
    const text = readFileSync(path.join(dir, 'compose.yaml'), 'utf8');
    const files = [...text.matchAll(/file: (\.\/secrets\/\w+)/g)].map(([, file = '']) =>
      path.join(dir, file),
    );
    expect(files).toHaveLength(2);
    const values = files.map((file) => readFileSync(file, 'utf8'));
    expect(new Set(values).size).toBe(2);
    for (const value of values) expect(Buffer.from(value, 'base64')).toHaveLength(32);
    expect(statSync(path.join(dir, 'secrets')).mode & 0o777).toBe(0o700);
    execFileSync(script);
    expect(files.map((file) => readFileSync(file, 'utf8'))).toEqual(values);
    expect(existsSync(path.join(dir, '.env'))).toBe(true);
  });
});
