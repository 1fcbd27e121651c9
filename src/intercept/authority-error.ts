/** Why the interception CA cannot be used. `message` ends with the fix; match on `code`. */
export type AuthorityErrorCode =
  | 'missing_key'
  | 'missing_cert'
  | 'unreadable'
  | 'malformed'
  | 'key_exposed'
  | 'mismatch'
  | 'not_a_ca'
  | 'expired'
  | 'not_yet_valid'
  | 'unsupported_key'
  | 'not_creatable'
  | 'wrong_stage';

export class AuthorityError extends Error {
  override readonly name = 'AuthorityError';
  readonly code: AuthorityErrorCode;
  readonly fix: string;

  constructor(code: AuthorityErrorCode, problem: string, opts: { fix: string; cause?: unknown }) {
    super(`${problem}: ${opts.fix}`, opts.cause === undefined ? undefined : { cause: opts.cause });
    this.code = code;
    this.fix = opts.fix;
  }
}
