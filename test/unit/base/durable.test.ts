import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createFileDurable, writeFileDurable } from '../../../src/base/durable.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'durable-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const modeOf = (path: string): number => statSync(path).mode & 0o777;

describe('writeFileDurable', () => {
  it('writes bytes with the mode asked for, whatever the umask', () => {
    const before = process.umask(0o077);
    try {
      writeFileDurable(join(dir, 'a'), Buffer.from([0, 255, 10]), 0o644);
    } finally {
      process.umask(before);
    }
    expect(readFileSync(join(dir, 'a'))).toEqual(Buffer.from([0, 255, 10]));
    expect(modeOf(join(dir, 'a'))).toBe(0o644);
  });

  it('replaces a file and narrows its mode, leaving nothing else behind', () => {
    writeFileSync(join(dir, 'a'), 'old and longer');
    chmodSync(join(dir, 'a'), 0o666);
    writeFileDurable(join(dir, 'a'), 'né', 0o600);
    expect(readFileSync(join(dir, 'a'), 'utf8')).toBe('né');
    expect(modeOf(join(dir, 'a'))).toBe(0o600);
    expect(readdirSync(dir)).toEqual(['a']);
  });

  it('shows a reader who holds the old file open its old bytes: it is a new file', () => {
    writeFileDurable(join(dir, 'a'), '1', 0o600);
    const before = statSync(join(dir, 'a')).ino;
    writeFileDurable(join(dir, 'a'), '2', 0o600);
    expect(statSync(join(dir, 'a')).ino).not.toBe(before);
  });

  it('throws and cleans up when the target cannot be replaced', () => {
    mkdirSync(join(dir, 'a', 'b'), { recursive: true });
    expect(() => writeFileDurable(join(dir, 'a'), 'x', 0o600)).toThrow();
    expect(readdirSync(dir)).toEqual(['a']);
  });

  it('throws when the folder is missing', () => {
    expect(() => writeFileDurable(join(dir, 'none', 'a'), 'x', 0o600)).toThrow(/ENOENT/);
  });
});

describe('createFileDurable', () => {
  it('creates a missing file and says so', () => {
    expect(createFileDurable(join(dir, 'k'), 'one', 0o600)).toBe(true);
    expect(readFileSync(join(dir, 'k'), 'utf8')).toBe('one');
    expect(modeOf(join(dir, 'k'))).toBe(0o600);
    expect(readdirSync(dir)).toEqual(['k']);
  });

  it('leaves an existing file as it is', () => {
    createFileDurable(join(dir, 'k'), 'one', 0o600);
    expect(createFileDurable(join(dir, 'k'), 'two', 0o600)).toBe(false);
    expect(readFileSync(join(dir, 'k'), 'utf8')).toBe('one');
    expect(readdirSync(dir)).toEqual(['k']);
  });
});
