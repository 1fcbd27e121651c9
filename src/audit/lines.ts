/** Reads a file of the trail line by line in bounded memory. Used by `read.ts` and by the recovery. */
import { closeSync, openSync, readSync } from 'node:fs';
import { MAX_LINE_BYTES } from './chain.ts';

/** More than the longest line, so that a whole one always fits. */
export const CHUNK_BYTES = 2 * MAX_LINE_BYTES;
export const NEWLINE = 10;

/**
 * Calls `use` with each whole line (without its newline); returns how many bytes follow the last one. `from`: the byte
 * to begin at; the bytes that `use` gets are overwritten afterwards.
 */
export function eachLine(path: string, use: (line: Uint8Array) => void, from = 0): number {
  const fd = openSync(path, 'r');
  try {
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    let held = 0;
    let place = from;
    for (;;) {
      if (held > MAX_LINE_BYTES) {
        // No record of ours is so long: judged as a line of its own, so that memory stays bounded.
        use(chunk.subarray(0, held));
        held = 0;
      }
      const got = readSync(fd, chunk, held, chunk.length - held, place);
      if (got === 0) return held;
      place += got;
      const end = held + got;
      let begin = 0;
      for (let at = chunk.indexOf(NEWLINE, held); at !== -1 && at < end; at = chunk.indexOf(NEWLINE, begin)) {
        use(chunk.subarray(begin, at));
        begin = at + 1;
      }
      chunk.copyWithin(0, begin, end);
      held = end - begin;
    }
  } finally {
    closeSync(fd);
  }
}
