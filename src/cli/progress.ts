/** How far a long reading of the record is, on standard error where that is a terminal: one line, drawn anew, gone at the end. */
import type { Writable } from 'node:stream';
import type { Progress } from '../audit/scan.ts';

const EVERY_MS = 200;
/** What is read faster than this needs no line. */
const QUIET_MS = 500;
const CLEAR = '\r\x1b[K';

/** Nothing for pipes and files. `what`: begins the line. `now`: monotonic milliseconds. */
export function progressOn(
  stderr: Writable,
  what: string,
  now: () => number = () => performance.now(),
): Progress {
  if (Reflect.get(stderr, 'isTTY') !== true) return () => {};
  const began = now();
  let drawn = began + QUIET_MS - EVERY_MS;
  let shown = false;
  return (read, total) => {
    if (read >= total) {
      if (shown) stderr.write(CLEAR);
      return;
    }
    if (now() - drawn < EVERY_MS) return;
    drawn = now();
    shown = true;
    stderr.write(`${CLEAR}${what}: ${Math.floor((100 * read) / total)} %`);
  };
}
