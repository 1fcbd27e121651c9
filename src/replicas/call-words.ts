/** The shapes of what replicas ask each other and answer. What does not fit counts as not said. */
import { z } from 'zod';
import type { ApprovalLists, Decided } from '../base/approvals.ts';

const words = z.string().max(65_536);
const count = z.number().min(0);
const like = z.strictObject({ key: words, likeness: words });

const ask = z.discriminatedUnion('what', [
  z.strictObject({ what: z.literal('approvals') }),
  z.strictObject({
    what: z.literal('decide'),
    about: z.strictObject({
      id: words,
      decision: z.enum(['allow', 'deny']),
      reason: words.nullable(),
      remember: z.boolean(),
      by: words,
      verified: z.boolean(),
      like: like.optional(),
    }),
  }),
  z.strictObject({ what: z.literal('forget'), about: z.strictObject({ id: words, by: words }) }),
]);

const message = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('ask'), id: words, from: words, ask }),
  z.strictObject({ kind: z.literal('answer'), id: words, value: z.unknown() }),
]);

const body = z.object({
  bytes: count,
  length: count.nullable(),
  type: words.nullable(),
  text: words.nullable(),
  whole: z.boolean(),
});

/** Another version may say more. */
const view = z.object({
  id: words,
  group: words,
  identity: words,
  client: words,
  host: words,
  method: words,
  path: words,
  url: words,
  protocol: z.enum(['http', 'websocket']),
  keys: z.array(words).max(1_000),
  rule: z.object({ file: words, line: count, text: words }),
  since: words,
  expires: words,
  waiting: count,
  same: count,
  body: body.nullable(),
  remember: count,
  second_factor: z.boolean(),
  not_before: words.nullable(),
  key: words,
  likeness: words,
});

const remembered = z.object({
  id: words,
  group: words,
  what: words,
  rule: words,
  by: words,
  since: words,
  until: words,
});

const lists = z.object({
  approvals: z.array(view).max(10_000),
  remembered: z.array(remembered).max(10_000),
});

const HOW = [
  'allowed',
  'denied',
  'remembered',
  'cooled',
  'timeout',
  'withdrawn',
  'refused',
  'overloaded',
] as const;

const decided = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('done'), group: words, released: count, remembered: words.nullable() }),
  z.object({ kind: z.literal('over'), how: z.enum(HOW), by: words.nullable() }),
  z.object({ kind: z.literal('unknown') }),
  z.object({ kind: z.literal('code_needed') }),
  z.object({ kind: z.literal('cooling'), until: words }),
  z.object({ kind: z.literal('failed') }),
  z.object({ kind: z.literal('unanswered') }),
]);

export type Ask = z.infer<typeof ask>;

/** null: it is none. */
export function parseMessage(value: unknown): z.infer<typeof message> | null {
  return message.safeParse(value).data ?? null;
}

/** Of each question; null: no answer to it. */
export const parseAnswers = {
  approvals: (value: unknown): ApprovalLists | null => lists.safeParse(value).data ?? null,
  decide: (value: unknown): Decided | null => decided.safeParse(value).data ?? null,
  forget: (value: unknown): boolean | null => (typeof value === 'boolean' ? value : null),
} as const;
