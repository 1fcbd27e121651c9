/** Calls that wait for a person: who sees them, who decides, and what was decided that still holds. */
import { z } from 'zod';
import type { ApprovalView, Decided } from '../../base/approvals.ts';
import { recordAction } from '../acted.ts';
import { wrongCode } from '../one-time-code.ts';
import { type AdminDeps, type Ask, type Reply, type Route, refused, route } from '../route.ts';
import { flag, json, list, ok, orNull, problem, ref, shape, text, time, whole } from '../schema.ts';

/** As long as an operator's words may be elsewhere (`reason` of a rule). */
const MAX_REASON = 300;
/** As `newId` makes them (ULID). */
const ID = /^[0-9A-HJKMNP-TV-Z]{26}$/;

export const APPROVAL_SCHEMAS = {
  Approval: shape({
    id: text,
    group: text,
    identity: text,
    client: text,
    host: text,
    method: text,
    path: text,
    url: text,
    protocol: { type: 'string', enum: ['http', 'websocket'] },
    keys: list(text),
    rule: shape({ file: text, line: whole, text }),
    since: time,
    expires: time,
    waiting: whole,
    same: whole,
    body: orNull(
      shape({ bytes: whole, length: orNull(whole), type: orNull(text), text: orNull(text), whole: flag }),
    ),
    remember: whole,
    second_factor: flag,
    not_before: orNull(time),
  }),
  Remembered: shape({ id: text, group: text, what: text, rule: text, by: text, since: time, until: time }),
} as const;

const decision = z.strictObject({
  decision: z.enum(['allow', 'deny']),
  reason: z
    .string()
    .max(MAX_REASON)
    .regex(/^[^\p{Cc}]*$/u, 'holds control characters')
    .nullish()
    .meta({ description: 'For the agent (of a no), and for the record.' }),
  code: z
    .string()
    .regex(/^[0-9]{6,8}$/, 'is no one-time code')
    .nullish()
    .meta({ description: 'One-time code of the operator, where the rule says `second_factor`.' }),
  remember: z
    .boolean()
    .default(true)
    .meta({ description: 'false: a yes is for this once, whatever the rule would remember.' }),
});

type Body = z.output<typeof decision>;

export const APPROVAL_ROUTES: readonly Route[] = [
  route({
    method: 'GET',
    path: '/api/v1/approvals',
    role: 'viewer',
    summary: 'Calls that wait for a person, oldest first; and earlier yeses that still hold',
    answers: ok(shape({ approvals: list(ref('Approval')), remembered: list(ref('Remembered')) })),
    run: async ({ control }) => {
      const { approvals, remembered } = await control.approvals();
      return { json: { approvals: approvals.map(shown), remembered } };
    },
  }),
  route({
    method: 'POST',
    path: '/api/v1/approvals/{id}',
    role: 'approver',
    summary: 'Decides a call that waits',
    body: decision,
    answers: {
      '200': json('Decided.', shape({ id: text, decision: text, released: whole, remembered: orNull(time) })),
      '404': problem('That is no id of a call.'),
      '409': problem('Another operator was first, or the `cooldown` of the rule is not over.'),
      '410': problem(
        'It does not wait any more: the client left, nobody decided in time, or it was refused.',
      ),
      '503': problem(
        'The decision could not be written down, whoever holds the call does not answer, or Redis is away and no one-time code is taken.',
      ),
    },
    run: decide,
  }),
  route({
    method: 'DELETE',
    path: '/api/v1/approvals/{id}',
    role: 'approver',
    summary: 'Takes back a yes that still holds: the next such call is asked about again',
    answers: { ...ok(shape({ id: text })), '404': problem('No such yes holds.') },
    run: async (deps, ask) => {
      const id = ask.params['id'] ?? '';
      if (await deps.control.forget(id, ask.who.name)) {
        recordAction(deps, ask, { action: 'approval.forget', subject: id });
        return { json: { id } };
      }
      return refused(404, 'not_found', 'No such approval holds now.');
    },
  }),
];

async function decide(
  deps: AdminDeps,
  ask: Pick<Ask, 'params' | 'who' | 'client'> & { readonly body: Body },
): Promise<Reply> {
  const { params, body, who } = ask;
  const id = params['id'] ?? '';
  if (!ID.test(id)) return refused(404, 'not_found', 'That is no id of a call that waits.');
  const { code = null, reason = null } = body;
  const wrong = code === null ? null : await wrongCode(deps, who, code);
  if (wrong !== null) return wrong;
  const decided = await deps.control.decide({
    id,
    decision: body.decision,
    reason,
    remember: body.remember,
    by: who.name,
    verified: code !== null,
  });
  if (decided.kind === 'done') {
    const { group } = decided;
    recordAction(deps, ask, { action: `approval.${body.decision}`, group, subject: id, why: reason });
  }
  return replyOf(decided, { id, decision: body.decision });
}

function replyOf(decided: Decided, of: { readonly id: string; readonly decision: string }): Reply {
  switch (decided.kind) {
    case 'done':
      return { json: { ...of, released: decided.released, remembered: decided.remembered } };
    case 'over':
      return late(decided);
    case 'unknown':
      return refused(410, 'gone', 'This call does not wait, or not any more.');
    case 'code_needed':
      return refused(403, 'code_needed', 'The rule of this call wants a one-time code for a yes.');
    case 'cooling': {
      const detail = `The cooldown of this rule lasts until ${decided.until}.`;
      return { problem: { status: 409, code: 'cooling', detail, more: { not_before: decided.until } } };
    }
    case 'unanswered':
      return refused(
        503,
        'unanswered',
        'A process that may hold this call does not answer. Look whether it still waits, and decide again.',
      );
    case 'failed':
      return refused(
        503,
        'not_written',
        'The decision could not be written down; the log of the proxy says why.',
      );
  }
}

function late({ how, by }: Extract<Decided, { kind: 'over' }>): Reply {
  if (how === 'allowed' || how === 'denied') {
    const detail = `It was ${how} by ${by ?? 'somebody'} before.`;
    return { problem: { status: 409, code: 'already_decided', detail, more: { how, by } } };
  }
  const words = {
    withdrawn: 'The client left before anybody decided.',
    timeout: 'Nobody decided in time.',
    refused: 'The call was refused meanwhile.',
  } as const;
  const detail = how === 'withdrawn' || how === 'timeout' || how === 'refused' ? words[how] : 'It is over.';
  return { problem: { status: 410, code: 'gone', detail, more: { how } } };
}

/** Without what the processes of the proxy alone need. */
function shown(view: ApprovalView): Omit<ApprovalView, 'key' | 'likeness'> {
  const { key: _key, likeness: _likeness, ...rest } = view;
  return rest;
}
