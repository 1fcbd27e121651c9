/** The shape of `lockdown.json`, read strictly: what does not fit it locks everybody (`lockdown-file.ts`). */
import { z } from 'zod';
import type { LetGo, Lock } from './lockdown.ts';

/** More locks than any policy has groups: such a file is not ours. */
export const MAX_LOCKS = 1_000;
export const MAX_REASON_CHARS = 500;
const MAX_NAME_CHARS = 128;

const line = (max: number): z.ZodString =>
  z
    .string()
    .max(max)
    .regex(/^[^\x00-\x1f\x7f]*$/, { error: 'must be one line' });

/** Why somebody did something: one line that says so. */
export const reasonText = line(MAX_REASON_CHARS).min(1);

const lockdownFile = z
  .strictObject({
    version: z.literal(1),
    locks: z
      .array(
        z.strictObject({
          group: line(MAX_NAME_CHARS).min(1),
          since: z.iso.datetime(),
          by: line(MAX_NAME_CHARS).min(1),
          reason: line(MAX_REASON_CHARS),
        }),
      )
      .max(MAX_LOCKS),
    /** when everybody was last let go by a program of ours, milliseconds since the epoch */
    lifted: z.int().min(0),
    /** who let whom go last, and why: what replicas tell each other */
    let_go: z
      .array(
        z.strictObject({
          group: line(MAX_NAME_CHARS).min(1),
          at: z.iso.datetime(),
          by: line(MAX_NAME_CHARS).min(1),
          reason: line(MAX_REASON_CHARS),
        }),
      )
      .max(MAX_LOCKS)
      .default([]),
  })
  .refine((file) => new Set(file.locks.map(({ group }) => group)).size === file.locks.length, {
    error: 'a group stands in it twice',
  });

export type LockdownFile = {
  readonly locks: readonly Lock[];
  readonly lifted: number;
  readonly let_go: readonly LetGo[];
};

/** Throws what is wrong with it. */
export function parseLockdown(text: string): LockdownFile {
  return lockdownFile.parse(JSON.parse(text));
}
