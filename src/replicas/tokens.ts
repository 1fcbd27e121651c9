/** Tokens of sandboxes and their revocations, of all replicas: hashes of tokens alone, and no times of use. */
import { join } from 'node:path';
import { followFiles } from '../base/watch-file.ts';
import type { StoredToken } from '../identify/schema.ts';
import { TOKENS_FILE } from '../identify/token-file.ts';
import { isDead, type Merged, parseToken, TokenMerger } from '../identify/token-merge.ts';
import type { Change, HashKind } from '../state/shared-hash.ts';
import { parseRevocation, type Revocation } from './revocation.ts';
import { type Common, readable, type Sharer } from './sharer.ts';

/** More than the token store keeps: those that ended stay for a while, revocations of endless tokens for good. */
const MAX_SHARED = 50_000;
/** Clocks differ: what is over stays known for so long. */
const SLACK_MS = 86_400_000;

const TOKENS: HashKind<StoredToken> = {
  name: 'tokens',
  maxEntries: MAX_SHARED,
  maxBytes: 4_096,
  parse: (value, name) => {
    const token = parseToken(value);
    return token?.id === name ? token : null;
  },
};

const REVOKED: HashKind<Revocation> = {
  name: 'revoked',
  maxEntries: MAX_SHARED,
  maxBytes: 4_096,
  parse: parseRevocation,
};

export function tokenSharer(common: Common): Sharer {
  const { board, dir, clock, log, name, onTaken, onDropped } = common;
  const issued = board.hash(TOKENS);
  const revoked = board.hash(REVOKED);
  const merger = new TokenMerger(dir);
  const tell = ({ ended }: Merged, dead: ReadonlyMap<string, Revocation>): void => {
    for (const { id: subject, group } of ended) {
      const { at, by, replica } = dead.get(subject) ?? { at: '', by: null, replica: '' };
      log.info({ token: subject, by, replica }, 'token revoked at another replica');
      onTaken({ action: 'token.revoke', group, subject, why: null, by, replica, at });
    }
  };
  return {
    kinds: [TOKENS.name, REVOKED.name],
    watch: (onNews) => followFiles([join(dir, TOKENS_FILE)], onNews),
    share: async () => {
      // Revocations first: a token that is read without its own would be good for a moment.
      const dead = readable(await revoked.read());
      const there = readable(await issued.read());
      onDropped(REVOKED.name, revoked.dropped);
      onDropped(TOKENS.name, issued.dropped);
      const now = clock.now();
      const merged = merger.merge({ tokens: [...there.values()], revoked: dead }, now);
      if (merged === null) return;
      tell(merged, dead);
      await revoked.write([...newlyDead(merged.records, dead, name), ...forgotten(dead, now)]);
      await issued.write([...newlyIssued(merged.records, there, now), ...over(there, dead, now)]);
    },
  };
}

function newlyDead(
  records: readonly StoredToken[],
  dead: ReadonlyMap<string, Revocation>,
  replica: string,
): Change<Revocation>[] {
  return records.flatMap(({ id, revoked: at, revokedBy: by = null, expires }) =>
    at === null || dead.has(id) ? [] : [{ name: id, value: { at, by, replica, expires } }],
  );
}

/** Times of use are each machine's own. */
function newlyIssued(
  records: readonly StoredToken[],
  there: ReadonlyMap<string, StoredToken>,
  now: number,
): Change<StoredToken>[] {
  return records.flatMap((token) =>
    there.has(token.id) || isDead(token, now)
      ? []
      : [{ name: token.id, value: { ...token, lastUsed: null } }],
  );
}

/** Tokens that nobody has to hear of any more. */
function over(
  there: ReadonlyMap<string, StoredToken>,
  dead: ReadonlyMap<string, Revocation>,
  now: number,
): Change<StoredToken>[] {
  return [...there.values()].flatMap((token) =>
    dead.has(token.id) || isDead(token, now - SLACK_MS) ? [{ name: token.id, value: null }] : [],
  );
}

/** Revocations of what has ended by itself since. */
function forgotten(dead: ReadonlyMap<string, Revocation>, now: number): Change<Revocation>[] {
  return [...dead].flatMap(([name, { expires }]) =>
    expires !== null && Date.parse(expires) <= now - SLACK_MS ? [{ name, value: null }] : [],
  );
}
