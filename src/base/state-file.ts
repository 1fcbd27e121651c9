/** Small files that several processes replace (`durable.ts`): has one changed, and what is in it. */
import { readFileSync, statSync } from 'node:fs';
import { errorCode } from './error-code.ts';

/** Another one after every replacement; '' where there is none, or no way to look: who reads it then says what is wrong. */
export function fileStamp(path: string): string {
  try {
    const { ino, size, mtimeNs } = statSync(path, { bigint: true });
    return `${ino} ${size} ${mtimeNs}`;
  } catch {
    return '';
  }
}

/** Null: there is none. Throws for one that is larger, and the file system's errors. */
export function textIfThere(path: string, maxBytes: number): string | null {
  try {
    if (statSync(path).size > maxBytes) throw new Error(`${path} is larger than ${maxBytes} bytes`);
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null;
    throw error;
  }
}
