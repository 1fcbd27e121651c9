/** The shape of `approvals.json` in the state folder. */
import { z } from 'zod';

const time = z.number().min(0);
const words = z.string().max(1_024);

export const rulingsSchema = z.strictObject({
  version: z.literal(1),
  rulings: z.array(
    z.strictObject({
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
    }),
  ),
});
