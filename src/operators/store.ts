/**
 * The people who may use the admin side beside the built-in `admin`: each has a token, kept as SHA-256, a role, and
 * where they enrolled one, a second factor. Fails closed: while the file is broken none of them gets in.
 */
import { hash, randomBytes, timingSafeEqual } from 'node:crypto';
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import type { Operator, Role } from '../base/operator.ts';
import { followFiles } from '../base/watch-file.ts';
import { type ClaimCode, CodeCheck, type CodeVerdict } from './code-check.ts';
import { changeOperators, OPERATORS_FILE, OperatorError, readOperators } from './file.ts';
import { type OperatorsFile, operatorName, type StoredOperator } from './schema.ts';
import { enrolmentUri, newSecret } from './totp.ts';

export type OperatorView = Operator & {
  /** ISO 8601 */
  readonly created: string;
  readonly revoked: string | null;
  readonly totp: boolean;
};

export type OperatorStore = {
  /** Throws OperatorError: the name is taken or not one. The token is in no file. `by`, here and below: who does it. */
  add(name: string, role: Role, by?: string): string;
  list(): readonly OperatorView[];
  /** False: no such operator. Their second factor goes, too. */
  revoke(name: string, by?: string): boolean;
  /** Whose token is it; null: nobody's. */
  verify(token: string): Operator | null;
  /** Is this still one of them, with that role. */
  valid(operator: Operator): boolean;
  /** A new second factor, in the place of an older one; its URI, to be shown once. Throws OperatorError. */
  enrol(name: string, by?: string): string;
  /** Counts wrong codes: a code has six digits, and whoever has the token may try. Rejects with the file system's errors. */
  verifyCode(name: string, code: string): Promise<CodeVerdict>;
  close(): void;
};

export type OperatorStoreOptions = {
  /** `state.dir` */
  readonly dir: string;
  readonly clock: Clock;
  /** follow the file: for a running proxy */
  readonly watch: boolean;
  readonly onProblem?: (message: string) => void;
  /** where other replicas take codes, too */
  readonly claim?: ClaimCode | null;
};

const TOKEN = /^spo_([a-z0-9][a-z0-9._-]{0,63})_([0-9A-Za-z_-]{43})$/;
const SECRET_BYTES = 32;
const WRITE_WAIT_MS = 500;
/** What the token of an unknown name is compared with, so that it takes as long as a known one. */
const NOBODY = Buffer.alloc(32);
const BUILT_IN = 'admin';
const MAX_BY_CHARS = 128;

export function openOperators(opts: OperatorStoreOptions): OperatorStore {
  return new FileOperators(opts);
}

class FileOperators implements OperatorStore {
  readonly #opts: OperatorStoreOptions;
  readonly #codes: CodeCheck;
  readonly #stop: () => void;
  #file: OperatorsFile = { operators: [], factors: [] };
  #trouble = '';

  constructor(opts: OperatorStoreOptions) {
    this.#opts = opts;
    this.#load();
    this.#codes = new CodeCheck({
      clock: opts.clock,
      claim: opts.claim ?? null,
      file: () => this.#file,
      change: (change) => this.#change(change),
    });
    if (!opts.watch) {
      this.#stop = () => {};
      return;
    }
    this.#stop = followFiles([join(opts.dir, OPERATORS_FILE)], () => this.#load());
  }

  add(name: string, role: Role, by?: string): string {
    const named = operatorName.safeParse(name);
    if (!named.success) throw new OperatorError(`the name ${named.error.issues[0]?.message ?? 'is not one'}`);
    const secret = randomBytes(SECRET_BYTES).toString('base64url');
    const face = { name, role, hash: hash('sha256', secret, 'hex'), revoked: null };
    this.#change((file) => {
      const before = file.operators.find((one) => one.name === name);
      if (before?.revoked === null) throw new OperatorError(`there is an operator ${name}; revoke it first`);
      // Among replicas the later one of a name counts, whatever their clocks say.
      const made: StoredOperator = { ...face, created: this.#after(before?.created), ...doneBy(by) };
      return { ...file, operators: [...file.operators.filter((one) => one !== before), made] };
    });
    return `spo_${name}_${secret}`;
  }

  list(): readonly OperatorView[] {
    const { operators, factors } = this.#file;
    return operators.map(({ name, role, created, revoked }) => ({
      name,
      role,
      created,
      revoked,
      totp: factors.some((factor) => factor.name === name),
    }));
  }

  revoke(name: string, by?: string): boolean {
    const who = by === undefined ? {} : { revokedBy: by.slice(0, MAX_BY_CHARS) };
    let found = false;
    this.#change((file) => {
      found = file.operators.some((one) => one.name === name);
      const revoked = this.#now();
      return {
        operators: file.operators.map((one) =>
          one.name === name && one.revoked === null ? { ...one, revoked, ...who } : one,
        ),
        factors: file.factors.filter((factor) => factor.name !== name),
      };
    });
    return found;
  }

  verify(token: string): Operator | null {
    const [, name, secret] = TOKEN.exec(token) ?? [];
    if (name === undefined || secret === undefined) return null;
    const found = this.#live(name);
    const expected = found === undefined ? NOBODY : Buffer.from(found.hash, 'hex');
    const same = timingSafeEqual(hash('sha256', secret, 'buffer'), expected);
    return found !== undefined && same ? { name, role: found.role } : null;
  }

  valid({ name, role }: Operator): boolean {
    return name === BUILT_IN || this.#live(name)?.role === role;
  }

  enrol(name: string, by?: string): string {
    if (name !== BUILT_IN && this.#live(name) === undefined)
      throw new OperatorError(`there is no operator ${name}`);
    const secret = newSecret();
    this.#change((file) => {
      const others = file.factors.filter((factor) => factor.name !== name);
      const before = file.factors.find((factor) => factor.name === name)?.enrolled;
      const enrolled = this.#after(before ?? file.operators.find((one) => one.name === name)?.created);
      return { ...file, factors: [...others, { name, secret, used: 0, enrolled, ...doneBy(by) }] };
    });
    return enrolmentUri(name, secret);
  }

  verifyCode(name: string, code: string): Promise<CodeVerdict> {
    return this.#codes.verify(name, code);
  }

  close(): void {
    this.#stop();
  }

  #live(name: string): StoredOperator | undefined {
    return this.#file.operators.find((one) => one.name === name && one.revoked === null);
  }

  #change(change: (file: OperatorsFile) => OperatorsFile | null): void {
    changeOperators(this.#opts.dir, WRITE_WAIT_MS, change);
    this.#load();
  }

  /** False: the file cannot be used. */
  #load(): boolean {
    try {
      this.#file = readOperators(this.#opts.dir);
      this.#trouble = '';
    } catch (error) {
      this.#file = { operators: [], factors: [] };
      const trouble = error instanceof Error ? error.message : String(error);
      if (trouble !== this.#trouble) this.#opts.onProblem?.(trouble);
      this.#trouble = trouble;
    }
    return this.#trouble === '';
  }

  /** Now, or as soon as can be told from `before`; both ISO 8601. */
  #after(before: string | undefined): string {
    const least = before === undefined ? 0 : Date.parse(before) + 1;
    return new Date(Math.max(this.#opts.clock.now(), least)).toISOString();
  }

  #now(): string {
    return new Date(this.#opts.clock.now()).toISOString();
  }
}

function doneBy(by: string | undefined): { readonly by?: string } {
  return by === undefined ? {} : { by: by.slice(0, MAX_BY_CHARS) };
}
