import { X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { addCa } from '../../../src/cli/ca.ts';
import { loadOrCreateAuthority } from '../../../src/intercept/authority.ts';
import { folder } from './material.ts';

/** Runs `ca show` in a folder of its own; gives what it printed. */
function show(cwd: string, args: string[]): string {
  const stdout = new PassThrough();
  const program = new Command('sallyport').exitOverride();
  addCa(program, { stdin: Readable.from([]), stdout, stderr: new PassThrough(), env: {}, cwd });
  program.parse(['ca', 'show', ...args], { from: 'user' });
  return String(stdout.read() ?? '');
}

function installed(): { cwd: string; cert: X509Certificate } {
  const cwd = folder();
  return { cwd, cert: loadOrCreateAuthority({ dir: join(cwd, 'certs'), now: Date.now() }).authority.cert };
}

describe('sallyport ca show', () => {
  it('prints name, validity, fingerprint and file, one a line', () => {
    const { cwd, cert } = installed();
    const text = show(cwd, []);
    expect(text).toContain(cert.fingerprint256);
    expect(text).toMatch(/^subject +O=Sallyport, CN=Sallyport CA [0-9a-f]{8}$/m);
    expect(text).toMatch(/^key +ec prime256v1$/m);
  });

  it('prints the same as JSON', () => {
    const { cwd, cert } = installed();
    expect(JSON.parse(show(cwd, ['--json']))).toMatchObject({
      fingerprint_sha256: cert.fingerprint256,
      not_after: cert.validToDate.toISOString(),
      file: join(cwd, 'certs', 'ca.pem'),
    });
  });

  it('prints the certificate itself, and nothing else that lies in the file', () => {
    const { cwd, cert } = installed();
    const file = join(cwd, 'certs', 'ca.pem');
    writeFileSync(file, `${readFileSync(file, 'utf8')}${readFileSync(join(cwd, 'certs', 'ca.key'), 'utf8')}`);
    const text = show(cwd, ['--pem']);
    expect(new X509Certificate(text).fingerprint256).toBe(cert.fingerprint256);
    expect(text).not.toContain('PRIVATE');
  });

  it('ends with status 1 where there is no CA, and makes none', () => {
    expect(() => show(folder(), [])).toThrow(expect.objectContaining({ status: 1 }));
  });

  it('ends with status 2 when asked for two forms at once', () => {
    expect(() => show(installed().cwd, ['--json', '--pem'])).toThrow(expect.objectContaining({ status: 2 }));
  });
});
