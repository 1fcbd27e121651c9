import { X509Certificate } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadOrCreateAuthority } from '../../../src/intercept/authority.ts';
import { AuthorityError } from '../../../src/intercept/authority-error.ts';
import { DAY, folder, foreignCa, HOUR, run } from './material.ts';

const now = Date.now();
const load = (dir: string, when = now) => loadOrCreateAuthority({ dir, now: when });

/** What loading `dir` throws: its code, and a message that is for people. */
function failure(dir: string, when = now): string {
  try {
    load(dir, when);
  } catch (error) {
    if (!(error instanceof AuthorityError)) throw error;
    expect(error.message).toContain(error.fix);
    return error.code;
  }
  return 'loaded';
}

describe('the CA when both files are missing', () => {
  it('is created, and loaded as it is from then on', () => {
    const dir = join(folder(), 'deep', 'certs');
    const first = load(dir);
    const second = load(dir);
    expect(first.created).toBe(true);
    expect(second.created).toBe(false);
    expect(second.authority.cert.fingerprint256).toBe(first.authority.cert.fingerprint256);
    expect(second.authority.subjectDer.equals(first.authority.subjectDer)).toBe(true);
  });

  it('has a key that only its owner can read, and leaves no other file behind', () => {
    const dir = folder();
    load(dir);
    expect(statSync(join(dir, 'ca.key')).mode & 0o777).toBe(0o600);
    expect(statSync(join(dir, 'ca.pem')).mode & 0o022).toBe(0);
    expect(readdirSync(dir).sort()).toEqual(['ca.key', 'ca.pem']);
  });

  it('is a P-256 CA that may sign leaves only, valid from an hour ago for years', () => {
    const { cert } = load(folder()).authority;
    expect(cert.ca).toBe(true);
    expect(cert.publicKey.asymmetricKeyDetails?.namedCurve).toBe('prime256v1');
    expect(Math.abs(cert.validFromDate.getTime() - (now - HOUR))).toBeLessThan(1000);
    expect(cert.validToDate.getTime() - now).toBeGreaterThan(2 * 365 * DAY);
  });

  it('passes OpenSSL strict checks with its critical extensions', () => {
    const dir = folder();
    load(dir);
    const file = join(dir, 'ca.pem');
    const { output } = run('openssl', ['x509', '-noout', '-text', '-in', file]);
    expect(output).toMatch(/Basic Constraints: critical\s+CA:TRUE, pathlen:0/);
    expect(output).toMatch(/Key Usage: critical\s+Certificate Sign, CRL Sign/);
    const verified = run('openssl', ['verify', '-x509_strict', '-check_ss_sig', '-CAfile', file, file]);
    expect(verified.output).toContain('OK');
  });

  it('bears the name of its organization, and two installs differ in name and key', () => {
    const made = [folder(), folder()].map(
      (dir) => loadOrCreateAuthority({ dir, now, organization: 'Bücher & Co' }).authority,
    );
    expect(made[0]?.cert.subject).toContain('O=Bücher & Co');
    expect(made[0]?.cert.subject).not.toBe(made[1]?.cert.subject);
    expect(made[0]?.keyId.equals(made[1]?.keyId ?? Buffer.alloc(0))).toBe(false);
  });

  it('writes years from 2050 on in the form that RFC 5280 asks for', () => {
    const dir = folder();
    const { cert } = load(dir, Date.UTC(2047, 5, 1)).authority;
    expect(cert.validToDate.getUTCFullYear()).toBe(2052);
    const shown = run('openssl', ['asn1parse', '-in', join(dir, 'ca.pem')]).output;
    expect(shown).toMatch(/UTCTIME\s+:47/);
    expect(shown).toMatch(/GENERALIZEDTIME\s+:2052/);
  });

  it('is not created under a path that is no folder', () => {
    const dir = folder();
    writeFileSync(join(dir, 'file'), '');
    expect(failure(join(dir, 'file', 'certs'))).toBe('unreadable');
  });

  it('never replaces a name that is taken, even by a link to nowhere', () => {
    const dir = folder();
    symlinkSync(join(dir, 'nowhere'), join(dir, 'ca.key'));
    expect(failure(dir)).toBe('not_creatable');
    expect(readdirSync(dir)).toEqual(['ca.key']);
  });
});

describe('a CA that is not sound', () => {
  it.each<[string, string, (dir: string) => void]>([
    ['the key is missing', 'missing_key', (dir) => rmSync(join(dir, 'ca.key'))],
    ['the certificate is missing', 'missing_cert', (dir) => rmSync(join(dir, 'ca.pem'))],
    ['the key is a folder', 'unreadable', (dir) => swapForFolder(join(dir, 'ca.key'))],
    ['the certificate is a folder', 'unreadable', (dir) => swapForFolder(join(dir, 'ca.pem'))],
    [
      'the file is far too large',
      'unreadable',
      (dir) => appendFileSync(join(dir, 'ca.pem'), 'x'.repeat(300_000)),
    ],
    ['others may read the key', 'key_exposed', (dir) => chmodSync(join(dir, 'ca.key'), 0o644)],
    ['others may write the key', 'key_exposed', (dir) => chmodSync(join(dir, 'ca.key'), 0o602)],
    ['the group may write the key', 'key_exposed', (dir) => chmodSync(join(dir, 'ca.key'), 0o660)],
    ['the certificate is empty', 'malformed', (dir) => writeFileSync(join(dir, 'ca.pem'), '')],
    [
      'the certificate is garbage',
      'malformed',
      (dir) => writeFileSync(join(dir, 'ca.pem'), garbage('CERTIFICATE')),
    ],
    ['the key is garbage', 'malformed', (dir) => writeFileSync(join(dir, 'ca.key'), garbage('PRIVATE KEY'))],
    ['the key is encrypted', 'malformed', encryptKey],
    ['the key belongs to another certificate', 'mismatch', swapKey],
    ['it is a server certificate', 'not_a_ca', (dir) => foreign(dir, ['basicConstraints=CA:FALSE'])],
    ['it has no basicConstraints', 'not_a_ca', (dir) => foreign(dir, ['keyUsage=digitalSignature'])],
    [
      'its keyUsage forbids signing',
      'not_a_ca',
      (dir) => foreign(dir, ['basicConstraints=CA:TRUE', 'keyUsage=digitalSignature']),
    ],
    ['its RSA key is short', 'unsupported_key', (dir) => foreignCa(dir, { newkey: ['rsa:1024'] })],
    ['its key is Ed25519', 'unsupported_key', (dir) => foreignCa(dir, { newkey: ['ed25519'] })],
    [
      'its curve is not one that clients verify',
      'unsupported_key',
      (dir) => foreignCa(dir, { newkey: ['ec', '-pkeyopt', 'ec_paramgen_curve:secp256k1'] }),
    ],
  ])('is refused when %s: %s', (_when, code, spoil) => {
    const dir = folder();
    load(dir);
    spoil(dir);
    const before = snapshot(dir);
    expect(failure(dir, Date.now())).toBe(code); // openssl's certificates begin only now
    expect(snapshot(dir)).toEqual(before);
  });

  it('is refused once it has expired, and before it is valid', () => {
    const dir = folder();
    const { cert } = load(dir).authority;
    expect(failure(dir, cert.validToDate.getTime() - 1000)).toBe('loaded');
    expect(failure(dir, cert.validToDate.getTime())).toBe('expired');
    expect(failure(dir, cert.validFromDate.getTime() - 1)).toBe('not_yet_valid');
  });
});

describe('an operator’s own CA', () => {
  it.each<[string, string[]]>([
    ['RSA 2048', ['rsa:2048']],
    ['EC P-256', ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256']],
    ['EC P-384', ['ec', '-pkeyopt', 'ec_paramgen_curve:P-384']],
    ['EC P-521', ['ec', '-pkeyopt', 'ec_paramgen_curve:P-521']],
  ])('of type %s is accepted as it stands', (_name, newkey) => {
    const dir = folder();
    foreignCa(dir, { newkey });
    const before = snapshot(dir);
    const { authority, created } = load(dir, Date.now() + 1000);
    expect(created).toBe(false);
    expect(snapshot(dir)).toEqual(before);
    expect(authority.cert.subject).toContain('Corporate Root');
  });

  it('may have a key that its group reads, as mounted secrets do', () => {
    const dir = folder();
    load(dir);
    chmodSync(join(dir, 'ca.key'), 0o640);
    expect(failure(dir)).toBe('loaded');
  });

  it('never hands out a private key that lies in the certificate file', () => {
    const dir = folder();
    load(dir);
    appendFileSync(join(dir, 'ca.pem'), readFileSync(join(dir, 'ca.key')));
    const { authority } = load(dir);
    expect(authority.certPem).not.toContain('PRIVATE');
    expect(new X509Certificate(authority.certPem).fingerprint256).toBe(authority.cert.fingerprint256);
  });
});

function snapshot(dir: string): string[] {
  return readdirSync(dir)
    .filter((name) => statSync(join(dir, name)).isFile())
    .sort()
    .map((name) => `${name} ${readFileSync(join(dir, name), 'latin1')}`);
}

function swapForFolder(path: string): void {
  rmSync(path);
  mkdirSync(path);
}

function garbage(label: string): string {
  return `-----BEGIN ${label}-----\nAAAA\n-----END ${label}-----\n`;
}

function encryptKey(dir: string): void {
  const key = join(dir, 'ca.key');
  const sealed = join(dir, 'sealed');
  run('openssl', ['pkcs8', '-topk8', '-v2', 'aes-256-cbc', '-passout', 'pass:x', '-in', key, '-out', sealed]);
  copyFileSync(sealed, key);
}

function swapKey(dir: string): void {
  const other = folder();
  load(other);
  copyFileSync(join(other, 'ca.key'), join(dir, 'ca.key'));
}

function foreign(dir: string, extensions: string[]): void {
  foreignCa(dir, { newkey: ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'], extensions });
}
