/**
 * Who asks, who else may, and who lets them in. A second factor is handed out by somebody who shows their own: otherwise whoever
 * finds an admin's token could make themselves one. The first one comes from a shell (`sallyport operator totp`).
 */
import { z } from 'zod';
import { ROLES } from '../../base/operator.ts';
import { OperatorError } from '../../operators/file.ts';
import { recordAction } from '../acted.ts';
import { wrongCode } from '../one-time-code.ts';
import { type AdminDeps, type Reply, type Route, refused, route } from '../route.ts';
import { flag, json, list, ok, orNull, problem, ref, shape, text, time } from '../schema.ts';

const role = { type: 'string', enum: [...ROLES] };

export const OPERATOR_SCHEMAS = {
  Operator: shape({ name: text, role, created: time, revoked: orNull(time), totp: flag }),
  NewOperator: shape({ name: text, role, token: text }),
} as const;

const UNKNOWN = refused(404, 'operator_unknown', 'No operator has this name.');

export const OPERATOR_ROUTES: readonly Route[] = [
  route({
    method: 'GET',
    path: '/api/v1/me',
    role: 'viewer',
    summary: 'Whose token this is',
    answers: ok(shape({ name: text, role })),
    run: (_deps, { who }) => ({ json: { name: who.name, role: who.role } }),
  }),
  route({
    method: 'GET',
    path: '/api/v1/operators',
    role: 'admin',
    summary: 'The people beside the built-in admin, revoked ones too',
    answers: ok(shape({ operators: list(ref('Operator')) })),
    run: ({ operators }) => ({ json: { operators: operators.list() } }),
  }),
  route({
    method: 'POST',
    path: '/api/v1/operators',
    role: 'admin',
    summary: 'Lets somebody in; their token is shown in this answer and never again',
    body: z.strictObject({
      name: z.string().min(1).max(64).meta({ description: 'As records are to call them.' }),
      role: z.enum(ROLES),
    }),
    answers: { '201': json('Made.', ref('NewOperator')), '422': problem('The name is taken, or is none.') },
    run: (deps, ask) => {
      const { name, role: as } = ask.body;
      return guarded(() => {
        const token = deps.operators.add(name, as, ask.who.name);
        recordAction(deps, ask, { action: 'operator.add', subject: name, why: `role ${as}` });
        return { status: 201, json: { name, role: as, token } };
      });
    },
  }),
  route({
    method: 'DELETE',
    path: '/api/v1/operators/{name}',
    role: 'admin',
    summary: 'Lets somebody in no more; their second factor goes, too',
    answers: { ...ok(shape({ name: text, revoked: time })), '404': problem('There is no such operator.') },
    run: (deps, ask) => {
      const { name = '' } = ask.params;
      return guarded(() => {
        if (!deps.operators.revoke(name, ask.who.name)) return UNKNOWN;
        recordAction(deps, ask, { action: 'operator.revoke', subject: name });
        return { json: { name, revoked: nameIn(deps, name)?.revoked ?? null } };
      });
    },
  }),
  route({
    method: 'POST',
    path: '/api/v1/operators/{name}/totp',
    role: 'admin',
    summary:
      'A new second factor for somebody, in the place of an older one; its URI is shown in this answer and never again',
    body: z.strictObject({
      code: z
        .string()
        .regex(/^[0-9]{6,8}$/, 'is no one-time code')
        .meta({ description: 'One-time code of whoever asks.' }),
    }),
    answers: {
      '201': json('Made.', shape({ name: text, uri: text })),
      '404': problem('There is no such operator.'),
      '503': problem('Redis is away, so the one-time code cannot be taken.'),
    },
    run: (deps, ask) => {
      const { name = '' } = ask.params;
      return guarded(async () => {
        const known = name === BUILT_IN || nameIn(deps, name)?.revoked === null;
        if (!known) return UNKNOWN;
        const wrong = await wrongCode(deps, ask.who, ask.body.code);
        if (wrong !== null) {
          recordAction(deps, ask, { action: 'operator.totp', subject: name, outcome: 'refused' });
          return wrong;
        }
        const uri = deps.operators.enrol(name, ask.who.name);
        recordAction(deps, ask, { action: 'operator.totp', subject: name });
        return { status: 201, json: { name, uri } };
      });
    },
  }),
];

/** The operator of `admin.token`. */
const BUILT_IN = 'admin';

function nameIn({ operators }: AdminDeps, name: string) {
  return operators.list().find((one) => one.name === name);
}

/** What the store says no to, in its words. */
async function guarded(work: () => Reply | Promise<Reply>): Promise<Reply> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    return refused(422, 'operator_refused', error.message);
  }
}
