/** `npm ci` takes a lock file only when it names every package, those of other platforms too. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

type Entry = { version?: string; optionalDependencies?: Record<string, string>; resolved?: string };

function packagesOf(file: string): Record<string, Entry> {
  const lock = JSON.parse(readFileSync(new URL(file, import.meta.url), 'utf8')) as {
    packages: Record<string, Entry>;
  };
  return lock.packages;
}

/** Where npm would find `name` from `path`: the folders of installed packages upwards. */
function isListed(packages: Record<string, Entry>, path: string, name: string): boolean {
  for (let at = path; ; at = at.slice(0, Math.max(0, at.lastIndexOf('/node_modules/')))) {
    if (packages[`${at === '' ? '' : `${at}/`}node_modules/${name}`] !== undefined) return true;
    if (at === '') return false;
  }
}

describe.each(['../package-lock.json', '../bench/package-lock.json'])('%s', (file) => {
  const packages = packagesOf(file);

  it('lists the optional packages of every platform', () => {
    const missing = Object.entries(packages).flatMap(([path, { optionalDependencies = {} }]) =>
      Object.keys(optionalDependencies).filter((name) => !isListed(packages, path, name)),
    );
    expect(missing).toEqual([]);
  });

  it('names no host', () => {
    expect(Object.values(packages).filter(({ resolved }) => resolved !== undefined)).toEqual([]);
  });
});
