/** The second factor of whoever asks, as routes want it. Used by `routes/`. */
import { type AdminDeps, type Ask, type Reply, refused } from './route.ts';

/** Null: the code is right, and now used. */
export async function wrongCode(
  { operators }: AdminDeps,
  { name }: Ask['who'],
  code: string,
): Promise<Reply | null> {
  switch (await operators.verifyCode(name, code)) {
    case 'right':
      return null;
    case 'wrong':
      return refused(403, 'code_wrong', 'The one-time code is wrong, or was used before.');
    case 'not_enrolled':
      return refused(
        403,
        'code_unavailable',
        `The operator ${name} has no one-time codes: sallyport operator totp.`,
      );
    case 'unshared':
      return refused(
        503,
        'code_unshared',
        'Redis is away, so nobody can tell whether another replica took this code. When it is back, take the next one.',
      );
    case 'too_many':
      return refused(429, 'too_many_failures', 'Too many wrong one-time codes; try again in some minutes.');
  }
}
