/**
 * Makes and reads the text of a token: `sp_<id>_<secret>`. The id finds the record, the secret (43 base62
 * characters, 256 random bits) proves it. A plain SHA-256 is enough for what is stored: there is nothing to
 * guess in 256 random bits, so nothing to slow down. Called by `token.ts`.
 */
import { hash, randomBytes } from 'node:crypto';
import type { StoredToken } from './schema.ts';
import { TokenStoreError } from './token-file.ts';

const TOKEN = /^sp_(tok_[0-9a-z]{16})_([0-9A-Za-z]{43})$/;
const ID_CHARS = 16;
const SECRET_CHARS = 43;
const BASE32 = '0123456789abcdefghjkmnpqrstvwxyz';
const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const MAX_NAME_CHARS = 128;
const MAX_LIFE_MS = 100 * 365 * 86_400_000;

export type IssueAsk = {
  readonly group: string;
  readonly name?: string;
  /** life time in milliseconds; none: until it is revoked */
  readonly expiresMs?: number;
};

/** A new record and the one copy of its token. `now`: milliseconds since the epoch. */
export function issueToken(ask: IssueAsk, now: number): { record: StoredToken; token: string } {
  const { group, name = '', expiresMs } = ask;
  if (expiresMs !== undefined && !(expiresMs > 0 && expiresMs <= MAX_LIFE_MS)) {
    throw new TokenStoreError('bad_argument', 'the life time must be above 0 and at most 100 years');
  }
  if (name.length > MAX_NAME_CHARS || /[\x00-\x1f\x7f]/.test(name)) {
    throw new TokenStoreError(
      'bad_argument',
      `the name must be one line of at most ${MAX_NAME_CHARS} characters`,
    );
  }
  const id = `tok_${randomText(BASE32, ID_CHARS)}`;
  const secret = randomText(BASE62, SECRET_CHARS);
  const record: StoredToken = {
    id,
    group,
    name,
    hash: hash('sha256', secret, 'hex'),
    created: new Date(now).toISOString(),
    expires: expiresMs === undefined ? null : new Date(now + expiresMs).toISOString(),
    lastUsed: null,
    revoked: null,
  };
  return { record, token: `sp_${id}_${secret}` };
}

/** The parts of a token's text, or null when it has not the shape of one of ours. */
export function splitToken(token: string): { id: string; secret: string } | null {
  const [, id, secret] = TOKEN.exec(token) ?? [];
  return id === undefined || secret === undefined ? null : { id, secret };
}

/** Characters of `alphabet`, each equally likely: bytes past the last whole multiple are thrown away. */
function randomText(alphabet: string, length: number): string {
  const limit = 256 - (256 % alphabet.length);
  let text = '';
  while (text.length < length) {
    for (const byte of randomBytes(length)) {
      if (byte < limit && text.length < length) text += alphabet.charAt(byte % alphabet.length);
    }
  }
  return text;
}
