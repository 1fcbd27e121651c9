/** The shape of a lock that replicas share, and of `replicas.json`: read as strictly as the lockdown's own file. */
import { z } from 'zod';
import { MAX_LOCKS, MAX_REASON_CHARS } from './lockdown-schema.ts';

/** Those let go are kept, too: their version says that they were. */
export const MAX_SHARED = 2 * MAX_LOCKS;
const MAX_NAME_CHARS = 128;
const MAX_REPLICA_CHARS = 255;
const MAX_VERSION = 2 ** 48;

const line = (max: number): z.ZodString =>
  z
    .string()
    .max(max)
    .regex(/^[^\x00-\x1f\x7f]*$/, { error: 'must be one line' });

const sharedLock = z.strictObject({
  group: line(MAX_NAME_CHARS).min(1),
  version: z.int().min(1).max(MAX_VERSION),
  on: z.boolean(),
  since: z.iso.datetime(),
  by: line(MAX_NAME_CHARS).min(1),
  reason: line(MAX_REASON_CHARS),
  /** name of the one where it was done */
  replica: line(MAX_REPLICA_CHARS),
});

const sharedFile = z.strictObject({ version: z.literal(1), locks: z.array(sharedLock).max(MAX_SHARED) });

export type SharedLock = Readonly<z.infer<typeof sharedLock>>;

/** null: not one of ours. */
export function parseSharedLock(value: unknown): SharedLock | null {
  return sharedLock.safeParse(value).data ?? null;
}

/** Throws what is wrong with it. */
export function parseSharedLocks(value: unknown): readonly SharedLock[] {
  return sharedFile.parse(value).locks;
}
