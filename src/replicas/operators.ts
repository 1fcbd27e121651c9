/** The people who may use the admin side, with their second factors, of all replicas. Their tokens are there as hashes. */
import { join } from 'node:path';
import { followFiles } from '../base/watch-file.ts';
import { changeOperators, OPERATORS_FILE, readOperators } from '../operators/file.ts';
import {
  fileOf,
  isSame,
  joinOperators,
  type SharedOperator,
  type SharedOperators,
  sharedOf,
} from '../operators/merge.ts';
import { MAX_OPERATORS, parseSharedOperator, type SharedOperatorEntry } from '../operators/schema.ts';
import type { HashKind } from '../state/shared-hash.ts';
import { type Common, readable, type Sharer, type Taken } from './sharer.ts';

const KIND: HashKind<SharedOperatorEntry> = {
  name: 'operators',
  maxEntries: MAX_OPERATORS,
  maxBytes: 4_096,
  parse: (value, name) => {
    const entry = parseSharedOperator(value);
    if (entry === null) return null;
    const named = [entry.operator, entry.factor].every((part) => part === null || part.name === name);
    return named ? entry : null;
  },
};

export function operatorSharer({ board, dir, log, name: replica, onTaken, onDropped }: Common): Sharer {
  const hash = board.hash(KIND);
  const tell = (subject: string, acts: readonly Act[], there: string): void => {
    for (const act of acts) {
      log.info({ name: subject, replica: there, by: act.by }, `${act.action} at another replica`);
      onTaken({ ...act, group: null, subject, replica: there });
    }
  };
  return {
    kinds: [KIND.name],
    watch: (onNews) => followFiles([join(dir, OPERATORS_FILE)], onNews),
    share: async () => {
      const seen = await hash.read();
      onDropped(KIND.name, hash.dropped);
      const theirs = readable(seen);
      let before = sharedOf(readOperators(dir));
      let all = joinOperators(before, theirs);
      if (differs(before, all)) {
        changeOperators(dir, 0, (file) => {
          before = sharedOf(file);
          all = joinOperators(before, theirs);
          return fileOf(all);
        });
        for (const [name, one] of all) {
          const there = theirs.get(name);
          if (there !== undefined) tell(name, newsOf(before.get(name), one), there.replica);
        }
      }
      const news = [...all].filter(([name, one]) => !isSame(one, theirs.get(name)));
      await hash.write(news.map(([name, one]) => ({ name, value: { ...one, replica } })));
    },
  };
}

type Act = Pick<Taken, 'action' | 'why' | 'by' | 'at'>;

/** Somebody may get in who could not, or the other way round; or shows other codes from now on. */
function newsOf(before: SharedOperator | undefined, { operator, factor }: SharedOperator): Act[] {
  const acts: Act[] = [];
  if (operator !== null) {
    const { hash, role, created, by = null, revoked, revokedBy = null } = operator;
    if (revoked === null && before?.operator?.hash !== hash)
      acts.push({ action: 'operator.add', why: `role ${role}`, by, at: created });
    if (revoked !== null && (before?.operator?.hash !== hash || before.operator.revoked === null))
      acts.push({ action: 'operator.revoke', why: null, by: revokedBy, at: revoked });
  }
  if (factor !== null && before?.factor?.secret !== factor.secret)
    acts.push({ action: 'operator.totp', why: null, by: factor.by ?? null, at: factor.enrolled ?? '' });
  return acts;
}

function differs(one: SharedOperators, two: SharedOperators): boolean {
  return one.size !== two.size || [...two].some(([name, entry]) => !isSame(entry, one.get(name)));
}
