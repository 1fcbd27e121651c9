import {
  chmodSync,
  chownSync,
  lchownSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { exposure, exposureOf } from '../../../src/base/private-file.ts';

const me = process.geteuid?.() ?? 0;

describe('a file that holds a key', () => {
  let dir: string;
  let file: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'sallyport-private-'));
    file = join(dir, 'key');
    writeFileSync(file, 'x', { mode: 0o600 });
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  it('is closed when its owner alone may use it', () => {
    expect(exposure(file)).toBeNull();
    chmodSync(file, 0o400);
    expect(exposure(file)).toBeNull();
  });

  it.each([0o640, 0o620, 0o604, 0o602, 0o610, 0o601])('is open with mode %o, and the fix is told', (mode) => {
    chmodSync(file, mode);
    expect(exposure(file)).toContain(`run: chmod 600 ${file}`);
  });

  it('is open with those bits alone that are forbidden', () => {
    chmodSync(file, 0o640);
    expect(exposure(file, { forbidden: 0o027 })).toBeNull();
    chmodSync(file, 0o660);
    expect(exposure(file, { forbidden: 0o027 })).toContain('mode 0660');
  });

  it('is not a link, unless links are allowed and nobody else made it', () => {
    const link = join(dir, 'link');
    symlinkSync(file, link);
    expect(exposure(link)).toContain('symbolic link');
    expect(exposure(link, { link: true })).toBeNull();
    chmodSync(file, 0o644);
    expect(exposure(link, { link: true })).toContain('chmod 600');
  });

  it('tells the fix for a folder', () => {
    const folder = join(dir, 'state');
    mkdirSync(folder);
    chmodSync(folder, 0o750);
    expect(exposure(folder)).toContain(`run: chmod 700 ${folder}`);
  });

  it('belongs to this user or to root; root may use any', () => {
    const found = { mode: 0o100_600, uid: 4711, isDirectory: () => false };
    expect(exposureOf(file, found, {}, 4712)).toBe(`${file} belongs to user 4711; run: chown 4712 ${file}`);
    for (const user of [4711, 0, null]) expect(exposureOf(file, found, {}, user)).toBeNull();
    expect(exposureOf(file, { ...found, uid: 0 }, {}, 4712)).toBeNull();
  });

  it.runIf(me === 0)('is not behind a link that another user made', () => {
    const link = join(dir, 'link');
    symlinkSync(file, link);
    chownSync(file, 4712, 4712);
    expect(exposure(link, { link: true }, 4712)).toBeNull();
    rmSync(link);
    symlinkSync(file, link);
    lchownSync(link, 4711, 4711);
    expect(exposure(link, { link: true }, 4712)).toContain('that user 4711 made');
  });

  it('that is missing is an error, not closed', () => {
    expect(() => exposure(join(dir, 'nowhere'))).toThrow('ENOENT');
  });
});
