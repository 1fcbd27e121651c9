/** The shape of `approvals.json` in the state folder. */
import { z } from 'zod';
import type { Forgotten, Ruling } from './rulings.ts';

const time = z.number().min(0);
const words = z.string().max(1_024);

const ruling = z.strictObject({
  decision: z.enum(['allow', 'deny']),
  key: z.string().regex(/^[0-9a-f]{64}$/),
  id: words,
  group: words,
  rule: words,
  what: words,
  by: words,
  reason: words.nullable(),
  verified: z.boolean(),
  at: time,
  until: time,
  coolUntil: time,
});

const forgotten = z.strictObject({ id: words, until: time });

export const rulingsSchema = z.strictObject({
  version: z.literal(1),
  rulings: z.array(ruling),
  forgotten: z.array(forgotten).default([]),
});

/** One that a replica wrote; null: it is none. */
export function parseRuling(value: unknown): Ruling | null {
  return ruling.safeParse(value).data ?? null;
}

/** null: it is none. */
export function parseForgotten(value: unknown): Forgotten | null {
  return forgotten.safeParse(value).data ?? null;
}
