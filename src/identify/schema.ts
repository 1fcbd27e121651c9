/**
 * The shape of `tokens.json`, read as strictly as every other file that decides who gets in: an unknown key
 * or a bad date makes the whole file broken, and a broken file lets nobody in (`token.ts`).
 */
import { z } from 'zod';

const instant = z.iso.datetime();

const tokenRecord = z.strictObject({
  id: z.string().regex(/^tok_[0-9a-z]{16}$/),
  group: z.string().min(1).max(128),
  name: z.string().max(128),
  hash: z.string().regex(/^[0-9a-f]{64}$/),
  created: instant,
  expires: instant.nullable(),
  lastUsed: instant.nullable(),
  revoked: instant.nullable(),
  /** who ended it; a record of before has none */
  revokedBy: z.string().max(128).optional(),
});

const tokenFile = z
  .strictObject({ version: z.literal(1), tokens: z.array(tokenRecord) })
  .refine((file) => new Set(file.tokens.map((token) => token.id)).size === file.tokens.length, {
    error: 'an id stands in it twice',
  });

/** One issued token as it is stored: everything but the secret, of which only the SHA-256 is kept. */
export type StoredToken = Readonly<z.infer<typeof tokenRecord>>;

/** The file's text -> its records. Throws an Error that says what is wrong and where, never a value. */
export function parseTokenFile(text: string): StoredToken[] {
  const parsed = tokenFile.safeParse(JSON.parse(text));
  if (parsed.success) return parsed.data.tokens;
  const first = parsed.error.issues[0];
  throw new Error(`${first?.path.join('.') || 'file'}: ${first?.message ?? 'not valid'}`);
}
