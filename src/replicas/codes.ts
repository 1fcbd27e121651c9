/** One-time codes of operators: of all replicas the one that Redis hears first takes a code, before it counts anywhere. */
import type { ClaimCode } from '../operators/code-check.ts';
import type { RedisBoard } from '../state/redis-board.ts';

/** A code is right for 90 seconds, by clocks that differ. */
const TAKEN_MS = 900_000;

/** Where Redis does not answer, no code counts: it could have been used at another replica. */
export function codeClaimer(board: Pick<RedisBoard, 'claim'>): ClaimCode {
  return async ({ name, secret, step }) => {
    try {
      return (await board.claim(`code ${name} ${secret} ${step}`, TAKEN_MS)) ? 'mine' : 'used';
    } catch {
      return 'away';
    }
  };
}
