/** Why a request would be allowed or refused: what `sallyport explain --json` prints, of the policy in force. */
import { z } from 'zod';
import { type Route, refused, route } from '../route.ts';
import { flag, list, ok, orNull, ref, shape, text, whole } from '../schema.ts';

const PLACE = { file: text, line: whole, text } as const;

export const EXPLAIN_SCHEMAS = {
  Explanation: shape({
    group: orNull(text),
    verdict: { type: 'string', enum: ['allow', 'deny', 'would_deny', 'approve'] },
    reason: orNull(text),
    detail: orNull(text),
    stage: { type: 'string', enum: ['connect', 'request'] },
    rule: orNull(shape(PLACE)),
    treat: orNull(text),
    keys: list(text),
    aws: list(shape({ key: text, regions: orNull(list(text)), services: orNull(list(text)) })),
    told: orNull(text),
    limits: { type: 'object' },
    rules: list(shape({ ...PLACE, guardrail: flag, matched: flag, why: text })),
  }),
} as const;

const name = z.string().min(1).max(256);

export const EXPLAIN_ROUTES: readonly Route[] = [
  route({
    method: 'POST',
    path: '/api/v1/explain',
    role: 'viewer',
    summary: 'Which rule decides about a request, and why the others do not',
    body: z.strictObject({
      group: name.optional(),
      identity: name.optional().meta({ description: 'A token id, or group:NAME.' }),
      from: name.optional().meta({ description: 'A client address.' }),
      method: z
        .string()
        .min(1)
        .max(64)
        .default('GET')
        .meta({ description: 'CONNECT: the connection alone.' }),
      url: z.string().min(1).max(16_384),
    }),
    answers: ok(ref('Explanation')),
    run: async ({ control }, { body }) => {
      const done = await control.explain(body);
      if ('problem' in done) return refused(400, 'bad_question', done.problem);
      return { json: { group: done.group, ...done.explanation } };
    },
  }),
];
