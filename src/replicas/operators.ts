/** The people who may use the admin side, with their second factors, of all replicas. Their tokens are there as hashes. */
import { join } from 'node:path';
import { watchFiles } from '../base/watch-file.ts';
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
import type { Common, Sharer } from './sharer.ts';

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
  const tell = (name: string, { operator }: SharedOperator, there: string): void => {
    if (operator === null) return;
    const over = operator.revoked;
    const words = over === null ? 'operator of another replica' : 'operator revoked at another replica';
    log.info({ name, replica: there }, words);
    const action = over === null ? 'operator.add' : 'operator.revoke';
    const at = over ?? operator.created;
    onTaken({ action, group: null, subject: name, why: null, by: null, replica: there, at });
  };
  return {
    kinds: [KIND.name],
    watch: (onNews) => {
      const files = watchFiles(onNews);
      files.add(join(dir, OPERATORS_FILE));
      return () => files.stop();
    },
    share: async () => {
      const seen = await hash.read();
      onDropped(KIND.name, hash.dropped);
      const theirs = new Map(
        [...seen].flatMap(([name, { value }]) => (value === null ? [] : [[name, value] as const])),
      );
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
          if (there !== undefined && isNews(before.get(name), one)) tell(name, one, there.replica);
        }
      }
      const news = [...all].filter(([name, one]) => !isSame(one, theirs.get(name)));
      await hash.write(news.map(([name, one]) => ({ name, value: { ...one, replica } })));
    },
  };
}

/** Somebody may get in who could not, or the other way round. */
function isNews(before: SharedOperator | undefined, { operator }: SharedOperator): boolean {
  return before?.operator?.hash !== operator?.hash || before?.operator?.revoked !== operator?.revoked;
}

function differs(one: SharedOperators, two: SharedOperators): boolean {
  return one.size !== two.size || [...two].some(([name, entry]) => !isSame(entry, one.get(name)));
}
