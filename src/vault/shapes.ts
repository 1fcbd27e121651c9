/**
 * Remembers what the placeholder of each key looks like, so that it stays the same when the key rotates to
 * another length or is away for a while (contract section 4). One file in the state folder; it holds public
 * prefixes and lengths, and the throw-away private keys of `placeholder: pem`. Used by `bindings.ts`.
 */
import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { writeFileDurable } from '../base/durable.ts';
import { holdLock } from '../base/file-lock.ts';
import type { Shape } from '../secrets/placeholder.ts';

/** Entries of each kind; the oldest are forgotten first. */
const MAX_SHAPES = 16_384;
const MAX_SHAPE_LENGTH = 4096;
/** Whoever holds the lock reads and writes a small file. */
const LOCK_WAIT_MS = 2_000;

export type Shapes = {
  get(key: string): Shape | null;
  /** The shape that holds from now on: this one, unless another process remembered one first. */
  put(key: string, shape: Shape): Shape;
  /** A private key in PEM that opens nothing, made at first use. */
  pem(key: string): string;
};

type Stored = { shapes: Map<string, Shape>; pems: Map<string, string> };

export function openShapes(file: string): Shapes {
  let stored = readStored(file);
  /** The commands and a running proxy share the file: what stands in it goes before what is new here. */
  const add = <T>(of: (all: Stored) => Map<string, T>, key: string, make: () => T): T => {
    const known = of(stored).get(key);
    if (known !== undefined) return known;
    // Before the lock: a private key takes seconds on a busy machine, and who would not wait so long went without it.
    const made = of(readStored(file)).get(key) ?? make();
    // Two processes that make one key's shape at once would give out placeholders that the other does not know.
    const release = lock(file);
    try {
      return addLocked(of, key, made);
    } finally {
      release();
    }
  };
  const addLocked = <T>(of: (all: Stored) => Map<string, T>, key: string, made: T): T => {
    const disk = readStored(file);
    for (const [old, shape] of stored.shapes) if (!disk.shapes.has(old)) keep(disk.shapes, old, shape);
    for (const [old, pem] of stored.pems) if (!disk.pems.has(old)) keep(disk.pems, old, pem);
    stored = disk;
    const value = of(stored).get(key) ?? made;
    keep(of(stored), key, value);
    save(file, stored);
    return value;
  };
  return {
    get: (key) => stored.shapes.get(key) ?? null,
    put: (key, shape) =>
      add(
        (all) => all.shapes,
        key,
        () => shape,
      ),
    pem: (key) => add((all) => all.pems, key, makePem),
  };
}

/** Without the lock the shape still holds in this process, as it does without a disk. */
function lock(file: string): () => void {
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    return holdLock(`${file}.lock`, LOCK_WAIT_MS) ?? nothing;
  } catch {
    return nothing; // the disk refuses everything: `save` comes to the same
  }
}

function nothing(): void {}

function makePem(): string {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

function save(file: string, stored: Stored): void {
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    const shapes = Object.fromEntries(stored.shapes);
    const pems = Object.fromEntries(stored.pems);
    writeFileDurable(file, `${JSON.stringify({ version: 1, shapes, pems })}\n`, 0o600);
  } catch {
    // The shape still holds in memory; without a disk it may change at the next start, which is no danger.
  }
}

function keep<T>(map: Map<string, T>, key: string, value: T): void {
  map.set(key, value);
  const [oldest] = map.keys();
  if (map.size > MAX_SHAPES && oldest !== undefined) map.delete(oldest);
}

/** A damaged file is the same as none: shapes are taken anew from the keys. */
function readStored(file: string): Stored {
  const stored: Stored = { shapes: new Map(), pems: new Map() };
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return stored;
  }
  for (const [key, value] of entriesOf(json, 'shapes')) if (isShape(value)) keep(stored.shapes, key, value);
  for (const [key, value] of entriesOf(json, 'pems'))
    if (typeof value === 'string') keep(stored.pems, key, value);
  return stored;
}

function entriesOf(json: unknown, member: 'shapes' | 'pems'): readonly [string, unknown][] {
  if (typeof json !== 'object' || json === null || !(member in json)) return [];
  const value: unknown = Object.getOwnPropertyDescriptor(json, member)?.value;
  return typeof value === 'object' && value !== null ? Object.entries(value) : [];
}

function isShape(value: unknown): value is Shape {
  if (typeof value !== 'object' || value === null) return false;
  if (!('prefix' in value && 'length' in value && 'alphabet' in value)) return false;
  const { prefix, length, alphabet } = value;
  const fixed = 'fixed' in value ? value.fixed : [];
  return (
    typeof prefix === 'string' &&
    typeof length === 'number' &&
    Number.isSafeInteger(length) &&
    length <= MAX_SHAPE_LENGTH &&
    typeof alphabet === 'string' &&
    Array.isArray(fixed) &&
    fixed.every(isFixedChar)
  );
}

function isFixedChar(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || !('at' in value && 'char' in value)) return false;
  return Number.isSafeInteger(value.at) && typeof value.char === 'string' && value.char.length === 1;
}
