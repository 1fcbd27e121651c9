/**
 * One-time codes of operators as they are used: each is taken once, by one process of one replica, and after a few wrong ones
 * none is taken for a while. Made by `store.ts`, which has the file that they stand in.
 */
import type { Clock } from '../base/clock.ts';
import { Failures } from '../base/failures.ts';
import type { OperatorsFile } from './schema.ts';
import { stepOf } from './totp.ts';

/** What became of a one-time code. A right one is taken once. `unshared`: nobody can tell whether another replica took it. */
export type CodeVerdict = 'right' | 'wrong' | 'not_enrolled' | 'too_many' | 'unshared';

/**
 * Takes the code of a step for this replica alone. `used`: another one has it; `away`: nobody knows. Never rejects.
 * `secret`: of the second factor.
 */
export type ClaimCode = (code: CodeOf) => Promise<'mine' | 'used' | 'away'>;
type CodeOf = { readonly name: string; readonly secret: string; readonly step: number };

type CodeCheckOptions = {
  readonly clock: Clock;
  /** null: there are no other replicas */
  readonly claim: ClaimCode | null;
  /** The file as it was read last. */
  readonly file: () => OperatorsFile;
  /** Under the lock of all processes; null leaves the file as it is. Throws the file system's errors. */
  readonly change: (change: (file: OperatorsFile) => OperatorsFile | null) => void;
};

/** Of one operator; together with the window, guessing takes years. */
export const MAX_WRONG_CODES = 5;
export const CODE_WINDOW_MS = 300_000;
const MAX_COUNTED = 1_000;

export class CodeCheck {
  readonly #opts: CodeCheckOptions;
  readonly #wrong: Failures;

  constructor(opts: CodeCheckOptions) {
    this.#opts = opts;
    this.#wrong = new Failures({ clock: opts.clock, windowMs: CODE_WINDOW_MS, max: MAX_COUNTED });
  }

  /** A code has six digits, and whoever has the token may try: wrong ones are counted. Rejects with the file system's errors. */
  async verify(name: string, code: string): Promise<CodeVerdict> {
    if (this.#wrong.of(name) >= MAX_WRONG_CODES) return 'too_many';
    const taken = this.#takeHere(name, code);
    if (taken === 'not_enrolled') return taken;
    const verdict = taken === 'wrong' ? taken : await this.#takeEverywhere(taken);
    if (verdict === 'wrong') this.#wrong.add(name);
    if (verdict === 'right') this.#wrong.forget(name);
    return verdict;
  }

  /** Under the lock, and written before it counts: no two processes take the same code, no restart takes it again. */
  #takeHere(name: string, code: string): CodeOf | 'wrong' | 'not_enrolled' {
    const told: { taken: CodeOf | 'wrong' | 'not_enrolled' } = { taken: 'not_enrolled' };
    this.#opts.change((file) => {
      const factor = file.factors.find((one) => one.name === name);
      if (factor === undefined) return null;
      const step = stepOf(factor.secret, code, this.#opts.clock.now());
      told.taken = 'wrong';
      if (step === null || step <= factor.used) return null;
      told.taken = { name, secret: factor.secret, step };
      const factors = file.factors.map((one) => (one === factor ? { ...one, used: step } : one));
      return { ...file, factors };
    });
    return told.taken;
  }

  async #takeEverywhere(code: CodeOf): Promise<'right' | 'wrong' | 'unshared'> {
    const { claim } = this.#opts;
    if (claim === null) return 'right';
    const answer = await claim(code);
    if (answer === 'away') return 'unshared';
    // They may have been revoked, or enrolled anew, while it was asked.
    const { name, secret } = code;
    const still = this.#opts.file().factors.some((one) => one.name === name && one.secret === secret);
    return answer === 'mine' && still ? 'right' : 'wrong';
  }
}
