/**
 * Which names of a `.env` file are the parts of one AWS key, so that `vault import` stores them as one group: access
 * key, secret key and, if there is one, session token, with the same beginning and the same end. Pure.
 */

const FIRST = 'AWS_ACCESS_KEY_ID';
const SECOND = 'AWS_SECRET_ACCESS_KEY';
const THIRD = 'AWS_SESSION_TOKEN';

/** `PROD_AWS_ACCESS_KEY_ID`, `AWS_ACCESS_KEY_ID_PROD`: what stands around belongs to the set. */
const SET = new RegExp(`^((?:.*[_./-])?)${FIRST}((?:[_./-].*)?)$`);

/** The group by name: `AWS` with what stands around it. An access key without its secret key is in none. */
export function awsGroups(names: readonly string[]): ReadonlyMap<string, string> {
  const known = new Set(names);
  const groups = new Map<string, string>();
  for (const name of names) {
    const [whole, before = '', after = ''] = SET.exec(name) ?? [];
    if (whole === undefined || !known.has(before + SECOND + after)) continue;
    for (const part of [FIRST, SECOND, THIRD]) {
      if (known.has(before + part + after)) groups.set(before + part + after, `${before}AWS${after}`);
    }
  }
  return groups;
}
