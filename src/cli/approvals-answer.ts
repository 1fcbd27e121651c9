/** What of the admin API's answers `approvals` shows; they are another process's, so they are judged. */
import { z } from 'zod';

const heldSchema = z.looseObject({
  id: z.string(),
  group: z.string(),
  identity: z.string(),
  client: z.string(),
  method: z.string(),
  url: z.string(),
  protocol: z.string(),
  keys: z.array(z.string()),
  rule: z.object({ file: z.string(), line: z.number(), text: z.string() }),
  expires: z.string(),
  waiting: z.number(),
  body: z
    .object({
      bytes: z.number(),
      length: z.number().nullable(),
      text: z.string().nullable(),
      whole: z.boolean(),
    })
    .nullable(),
  remember: z.number(),
  second_factor: z.boolean(),
});

const listSchema = z.object({
  approvals: z.array(heldSchema),
  remembered: z.array(z.object({ id: z.string(), what: z.string(), by: z.string(), until: z.string() })),
});
const doneSchema = z.object({ id: z.string(), released: z.number(), remembered: z.string().nullable() });

export type HeldCall = z.output<typeof heldSchema>;

/** Throws for what is no answer of `GET /api/v1/approvals`. */
export function listsOf(answer: unknown): z.output<typeof listSchema> {
  return listSchema.parse(answer);
}

/** Throws for what is no answer of a decision. */
export function doneOf(answer: unknown): z.output<typeof doneSchema> {
  return doneSchema.parse(answer);
}
