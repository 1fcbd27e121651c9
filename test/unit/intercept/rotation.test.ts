/** A change of the interception CA in its folder: every step, every wrong order, and every place where one may break off. */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadOrCreateAuthority } from '../../../src/intercept/authority.ts';
import { AuthorityError } from '../../../src/intercept/authority-error.ts';
import { type RotationStep, rotate } from '../../../src/intercept/rotate.ts';
import { ensureAuthorities, readAuthorities, readPublished } from '../../../src/intercept/rotation.ts';
import { DAY, folder, foreignCa } from './material.ts';

const now = Date.now();
const certs = (pem: string): number => pem.split('BEGIN CERTIFICATE').length - 1;

/** A folder with a CA; its fingerprint. */
function installed(): { dir: string; old: string } {
  const dir = folder();
  return { dir, old: loadOrCreateAuthority({ dir, now }).authority.cert.fingerprint256 };
}

/** Who signs now, and how many certificates sandboxes get. */
function inForce(dir: string): [string, number] {
  const { signer, publishedPem } = readAuthorities(dir, now);
  return [signer.cert.fingerprint256, certs(publishedPem)];
}

function codeOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof AuthorityError) return error.code;
    throw error;
  }
  return 'done';
}

describe('a change of the CA', () => {
  it('publishes both with the new one first, signs with the old one until the switch, then forgets it', () => {
    const { dir, old } = installed();
    rotate('announce', dir, now);
    expect(inForce(dir)).toEqual([old, 2]);
    const announced = readAuthorities(dir, now);
    const next = announced.other?.fingerprint256 ?? '';
    expect(next).not.toBe(old);
    expect(announced.publishedPem.indexOf(announced.signer.certPem)).toBeGreaterThan(0);
    rotate('switch', dir, now);
    expect(inForce(dir)).toEqual([next, 2]);
    expect(readPublished(dir).map(({ certs: [cert] }) => cert.fingerprint256)).toEqual([next, old]);
    rotate('finish', dir, now);
    expect(inForce(dir)).toEqual([next, 1]);
    expect(readdirSync(dir).sort()).toEqual(['ca.key', 'ca.pem']);
  });

  it.each<[string, RotationStep[], string]>([
    ['after the announcement', ['announce', 'cancel'], 'old'],
    ['after the switch', ['announce', 'switch', 'cancel'], 'old'],
  ])('that is cancelled %s leaves the old CA alone, and a second one may follow', (_when, steps) => {
    const { dir, old } = installed();
    for (const step of steps) rotate(step, dir, now);
    expect(inForce(dir)).toEqual([old, 1]);
    expect(readdirSync(dir).sort()).toEqual(['ca.key', 'ca.pem']);
    rotate('announce', dir, now);
    expect(inForce(dir)).toEqual([old, 2]);
  });

  it.each<[RotationStep, RotationStep[]]>([
    ['switch', []],
    ['finish', []],
    ['cancel', []],
    ['announce', ['announce']],
    ['finish', ['announce']],
    ['announce', ['announce', 'switch']],
  ])('does not %s after %j', (step, before) => {
    const { dir } = installed();
    for (const one of before) rotate(one, dir, now);
    const files = readdirSync(dir).sort();
    expect(codeOf(() => rotate(step, dir, now))).toBe('wrong_stage');
    expect(readdirSync(dir).sort()).toEqual(files);
  });

  it('needs a CA to begin with', () => {
    expect(codeOf(() => rotate('announce', folder(), now))).toBe('wrong_stage');
  });

  it('takes a CA that the operator put there, and none that is not sound', () => {
    const { dir } = installed();
    const own = join(dir, 'own');
    mkdirSync(own);
    foreignCa(own, { newkey: ['ec', '-pkeyopt', 'ec_paramgen_curve:P-384'], subject: 'Corporate Next' });
    renameSync(join(own, 'ca.pem'), join(dir, 'ca-next.pem'));
    expect(codeOf(() => rotate('announce', dir, now))).toBe('missing_key');
    renameSync(join(own, 'ca.key'), join(dir, 'ca-next.key'));
    expect(codeOf(() => rotate('announce', dir, now + 400 * DAY))).toBe('expired');
    rotate('announce', dir, now + DAY);
    expect(readAuthorities(dir, now + DAY).other?.subject).toContain('Corporate Next');
  });

  it.each([
    ['before anything moved', []],
    ['when the key had moved', ['key']],
    ['when both had moved', ['key', 'pem']],
  ])('that broke off while it finished, %s, is signed by the new one and finished later', (_when, moved) => {
    const { dir } = installed();
    rotate('announce', dir, now);
    rotate('switch', dir, now);
    const [next] = inForce(dir);
    writeFileSync(join(dir, 'rotation'), 'finishing\n');
    for (const end of moved) renameSync(join(dir, `ca-next.${end}`), join(dir, `ca.${end}`));
    expect(inForce(dir)).toEqual([next, 1]);
    expect(readPublished(dir).map(({ certs: [cert] }) => cert.fingerprint256)).toEqual([next]);
    expect(ensureAuthorities(dir, now).created).toBe(false);
    rotate('finish', dir, now);
    expect(inForce(dir)).toEqual([next, 1]);
    expect(readdirSync(dir).sort()).toEqual(['ca.key', 'ca.pem']);
  });

  it('whose word is none that we know, or whose files are gone, is refused with what to do', () => {
    const { dir } = installed();
    writeFileSync(join(dir, 'rotation'), 'half-way\n');
    expect(codeOf(() => readAuthorities(dir, now))).toBe('malformed');
    expect(codeOf(() => ensureAuthorities(dir, now))).toBe('malformed');
    writeFileSync(join(dir, 'rotation'), 'switched\n');
    expect(codeOf(() => ensureAuthorities(dir, now))).toBe('missing_key');
    expect(existsSync(join(dir, 'ca-next.pem'))).toBe(false);
    rmSync(join(dir, 'rotation'));
    expect(inForce(dir)[1]).toBe(1);
  });

  it('works where the old CA has ended, which signs no more', () => {
    const { dir } = installed();
    const later = now + 6 * 365 * DAY;
    expect(codeOf(() => ensureAuthorities(dir, later))).toBe('expired');
    rotate('announce', dir, later);
    rotate('switch', dir, later);
    expect(codeOf(() => readAuthorities(dir, later))).toBe('done');
    expect(readFileSync(join(dir, 'rotation'), 'utf8')).toBe('switched\n');
  });
});
