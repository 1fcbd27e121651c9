/** What to write instead of a value of the wrong type, or one that is none of the choices. Used by `issues.ts`. */
import { suggest } from './nearest.ts';

/** What is used here of a zod issue. */
type Wanted = { readonly expected?: string; readonly values?: readonly unknown[] };

/** The nearest of the choices, or all of them. */
export function choiceFix(issue: Wanted, key: PropertyKey | undefined, value: unknown): string {
  const known = (issue.values ?? []).map(String);
  if (known.length !== 1) return suggest(typeof value === 'string' ? value : '', known);
  return key === 'version' ? `write ${known[0]}` : `write ${known[0]}, or remove the key`;
}

const LISTS_OF_BLOCKS: ReadonlySet<unknown> = new Set(['rules', 'secrets', 'tests', 'aws']);

/** The same value in the type that is wanted, where that can be told. `key`: the last step of its path. */
export function typeFix({ expected }: Wanted, key: PropertyKey | undefined, value: unknown): string {
  if (expected === 'string' && (typeof value === 'number' || typeof value === 'boolean')) {
    return unitFix(key, value) ?? `quote it: "${value}"`;
  }
  if (expected === 'array' && LISTS_OF_BLOCKS.has(key)) return 'write a list of blocks, each behind "- "';
  if (expected === 'array' && !Array.isArray(value) && typeof value !== 'object') {
    // Methods are compared as they are written, and all that clients send are upper case.
    const written = key === 'methods' && typeof value === 'string' ? value.toUpperCase() : value;
    return `write a list: [${JSON.stringify(written) ?? '...'}]`;
  }
  return `write ${typeWord({ expected: expected ?? '' })}`;
}

/** What a bare number lacks, where the text needs a unit or a host: quoting it would not help. `N`: the number. */
const LACKING: ReadonlyMap<unknown, string> = new Map(
  Object.entries({
    requests: 'say per what: N/m',
    upload: 'say of what, and per what: NGiB/d',
    download: 'say of what, and per what: NGiB/d',
    idle: 'give it a unit: Ns',
    drain: 'give it a unit: Ns',
    wait: 'give it a unit: Ns',
    remember: 'give it a unit: Ns',
    cooldown: 'give it a unit: Ns',
    retain: 'give it a unit: Nd',
    listen: 'name an address, too: 127.0.0.1:N',
  }),
);

function unitFix(key: PropertyKey | undefined, value: number | boolean): string | null {
  if (typeof value === 'boolean') return null;
  return LACKING.get(key)?.replace('N', String(value)) ?? null;
}

/** What is wanted, in words. */
export function typeWord(issue: Wanted): string {
  const words: Readonly<Record<string, string>> = {
    string: 'a text',
    array: 'a list',
    object: 'a block of keys',
    record: 'a block of keys',
    number: 'a number',
    int: 'a whole number',
    boolean: 'true or false',
  };
  if (issue.values !== undefined) return issue.values.map(String).join(' or ');
  return words[issue.expected ?? ''] ?? 'another value';
}
