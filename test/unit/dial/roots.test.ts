import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { loadRoots } from '../../../src/dial/roots.ts';
import { createTestCa } from './kit.ts';

const folder = mkdtempSync(join(tmpdir(), 'sallyport-roots-'));
afterAll(() => rmSync(folder, { recursive: true }));
const file = (name: string, text: string): string => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};
const one = createTestCa().pem.trim();
const two = createTestCa().pem.trim();

describe('the trusted roots', () => {
  it('are the system’s, each once', () => {
    const roots = loadRoots({ extraCa: [], system: () => [one, `${one}\n`, two] });
    expect(roots).toMatchObject({ source: 'system', ca: [one, two] });
  });

  it('come from the bundle file where the system has no store, else from what Node brings', () => {
    const bundleFile = file('bundle.crt', `# comment\n${one}\n${two}\n`);
    expect(loadRoots({ extraCa: [], system: () => [], bundleFile })).toMatchObject({
      source: 'file',
      ca: [one, two],
    });
    const bundled = loadRoots({ extraCa: [], system: () => [], bundleFile: join(folder, 'none') });
    expect(bundled.source).toBe('bundled');
    expect(bundled.ca.length).toBeGreaterThan(50);
  });

  it('include every certificate of the operator’s files', () => {
    const extraCa = [file('extra.pem', `${two}\n`)];
    expect(loadRoots({ extraCa, system: () => [one] }).ca).toEqual([one, two]);
  });

  it.each([
    ['missing', () => join(folder, 'missing.pem')],
    ['without a certificate', () => file('empty.pem', 'hello')],
    ['broken', () => file('broken.pem', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n')],
  ])('do not load when an extra file is %s', (_what, path) => {
    expect(() => loadRoots({ extraCa: [path()], system: () => [one] })).toThrow(
      expect.objectContaining({ code: 'ERR_EXTRA_CA' }),
    );
  });

  it('give a bundle of the public roots and our CA, one PEM after the other, without the extra ones', () => {
    const roots = loadRoots({ extraCa: [file('corp.pem', two)], system: () => [one] });
    const ours = createTestCa().pem;
    expect(roots.bundlePem([ours])).toBe(`${one}\n${ours.trim()}\n`);
  });

  it('of this machine load', () => {
    expect(loadRoots({ extraCa: [] }).ca.length).toBeGreaterThan(0);
  });
});
