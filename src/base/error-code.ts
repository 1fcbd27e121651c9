/** What kind of trouble an error of the system is: `ENOENT`, `EEXIST`. Matched on instead of its words, which vary. */

/** What a process or a machine that is short of something says: the same may be well a moment later, with nothing changed. */
const PASSING: ReadonlySet<string> = new Set([
  'EMFILE',
  'ENFILE',
  'ENOMEM',
  'EAGAIN',
  'EIO',
  'ESTALE',
  'ETIMEDOUT',
]);
const MAX_CAUSES = 4;

/** Is it such a trouble, or was it caused by one. */
export function isPassing(error: unknown): boolean {
  let at = error;
  for (let depth = 0; depth < MAX_CAUSES; depth += 1) {
    if (PASSING.has(errorCode(at))) return true;
    at = at instanceof Error ? at.cause : undefined;
  }
  return false;
}

/** '' where it has none. */
export function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
}
