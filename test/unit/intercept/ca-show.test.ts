import { X509Certificate } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
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

describe('sallyport ca rotate', () => {
  const rotate = (cwd: string, ...args: string[]): { out: string; err: string } => {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    const program = new Command('sallyport').exitOverride();
    addCa(program, { stdin: Readable.from([]), stdout, stderr, env: {}, cwd });
    program.parse(['ca', 'rotate', ...args], { from: 'user' });
    return { out: String(stdout.read() ?? ''), err: String(stderr.read() ?? '') };
  };

  it('says what to do next, and leaves a note for the record', () => {
    const { cwd } = installed();
    const { out, err } = rotate(cwd);
    expect(out).toMatch(/^change +announced$/m);
    expect(out).toContain('sallyport ca rotate --switch');
    expect(err).toBe('');
    expect(readdirSync(join(cwd, '.sallyport', 'actions'))).toHaveLength(1);
  });

  it('says so where the record cannot tell of it, and the step stands all the same', () => {
    const { cwd } = installed();
    writeFileSync(join(cwd, '.sallyport'), 'no folder');
    expect(rotate(cwd).err).toContain('done, but the record will not tell of it');
    expect(show(cwd, ['--json'])).toContain('"change": "announced"');
  });

  it.each([[['--switch', '--finish']], [['--finish', '--cancel']], [['--cancel', '--switch']]])(
    'is wrong use with %j',
    (args) => {
      expect(() => rotate(installed().cwd, ...args)).toThrow();
    },
  );

  it('ends with status 1 where there is no CA, or the folder is not there', () => {
    expect(() => rotate(folder())).toThrow(expect.objectContaining({ status: 1 }));
  });
});

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
