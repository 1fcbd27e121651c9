/** JSON of a test's own making or reading, typed without a cast. */

/** Throws when the text is no JSON object. */
export function jsonObject(text: string): Record<string, unknown> {
  const value: unknown = JSON.parse(text);
  if (typeof value !== 'object' || value === null) throw new Error('no JSON object');
  return Object.fromEntries(Object.entries(value));
}

/** One object per line; empty lines are left out. */
export function jsonLines(text: string): Record<string, unknown>[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map(jsonObject);
}
