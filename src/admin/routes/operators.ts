/** Who asks, and who else may. Adding and revoking people is done with a shell (`sallyport operator`). */
import { ROLES } from '../../base/operator.ts';
import { type Route, route } from '../route.ts';
import { flag, list, ok, orNull, ref, shape, text, time } from '../schema.ts';

const role = { type: 'string', enum: [...ROLES] };

export const OPERATOR_SCHEMAS = {
  Operator: shape({ name: text, role, created: time, revoked: orNull(time), totp: flag }),
} as const;

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
];
