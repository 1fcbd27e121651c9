/** A limit for a value that `keyring.ts` asks for: one that comes later is wiped, because nobody uses it any more. */
import type { SecretValue } from '../secrets/value.ts';
import { SecretSourceError } from './source.ts';

/** `what`: the key, for operators. Rejects with `timeout` after `limitMs`. */
export async function withDeadline(
  asked: Promise<SecretValue>,
  what: string,
  limitMs: number,
): Promise<SecretValue> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new SecretSourceError('timeout', `${what} took too long`));
      asked.then(
        (value) => value.zero(),
        () => {},
      );
    }, limitMs);
    timer.unref();
  });
  try {
    return await Promise.race([asked, late]);
  } finally {
    clearTimeout(timer);
  }
}
