/** `operators.json` on the disk: read whole, changed under a lock, because commands and the proxy write it both. */
import { closeSync, fstatSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileDurable } from '../base/durable.ts';
import { errorCode } from '../base/error-code.ts';
import { holdLock } from '../base/file-lock.ts';
import { exposureOf } from '../base/private-file.ts';
import { type OperatorsFile, parseOperators } from './schema.ts';

export const OPERATORS_FILE = 'operators.json';
const LOCK = 'operators.lock';
/** MAX_OPERATORS of both kinds are well below. */
const MAX_FILE_BYTES = 1024 * 1024;
const NOBODY: OperatorsFile = { operators: [], factors: [] };

export class OperatorError extends Error {
  override readonly name = 'OperatorError';
}

/** A missing file holds nobody. Throws OperatorError for whatever else stands in the way of reading it. */
export function readOperators(dir: string): OperatorsFile {
  const path = join(dir, OPERATORS_FILE);
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return NOBODY;
    throw new OperatorError(`${path}: ${error instanceof Error ? error.message : 'unreadable'}`);
  }
  try {
    const found = fstatSync(fd);
    // Whoever could write there would be an admin; whoever could read it has the second factors.
    const open = exposureOf(path, found);
    if (open !== null) throw new Error(open);
    if (found.size > MAX_FILE_BYTES) throw new Error('too large');
    return parseOperators(readFileSync(fd, 'utf8'));
  } catch (error) {
    // JSON.parse quotes what it fell over, which could be a secret.
    const why = error instanceof SyntaxError ? 'not valid JSON' : error instanceof Error ? error.message : '';
    throw new OperatorError(`${path}: ${why}`);
  } finally {
    closeSync(fd);
  }
}

/**
 * Reads, changes and writes it under the lock. `change` gives the new content, or null to leave it alone. `waitMs`: for
 * another writer. Throws OperatorError and the file system's errors.
 */
export function changeOperators(
  dir: string,
  waitMs: number,
  change: (file: OperatorsFile) => OperatorsFile | null,
): void {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const release = holdLock(join(dir, LOCK), waitMs);
  if (release === null) {
    throw new OperatorError(`another process is writing ${join(dir, OPERATORS_FILE)}; try again`);
  }
  try {
    const next = change(readOperators(dir));
    if (next === null) return;
    const text = `${JSON.stringify({ version: 1, ...next }, null, 1)}\n`;
    writeFileDurable(join(dir, OPERATORS_FILE), text, 0o600);
  } finally {
    release();
  }
}
