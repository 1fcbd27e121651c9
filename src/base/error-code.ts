/** What kind of trouble an error of the system is: `ENOENT`, `EEXIST`. Matched on instead of its words, which vary. */

/** '' where it has none. */
export function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
}
