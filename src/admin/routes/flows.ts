/** What is open now, ending one of it, and what was refused. */
import { z } from 'zod';
import { recordAction } from '../acted.ts';
import { type Route, refused, route } from '../route.ts';
import { flag, list, ok, problem, ref, shape, text, time, whole } from '../schema.ts';

export const FLOW_SCHEMAS = {
  Flow: shape({
    id: text,
    group: text,
    identity: text,
    host: text,
    treat: { type: 'string', enum: ['tunnel', 'intercept', 'plain'] },
    started: time,
    bytes_up: whole,
    bytes_down: whole,
  }),
  Blocked: shape({ group: text, host: text, reason: text, count: whole, last: time }),
} as const;

const MAX_BLOCKED = 1_000;

export const FLOW_ROUTES: readonly Route[] = [
  route({
    method: 'GET',
    path: '/api/v1/flows',
    role: 'viewer',
    summary: 'What is open now',
    answers: ok(shape({ flows: list(ref('Flow')) })),
    run: async ({ control }) => ({ json: { flows: await control.flows() } }),
  }),
  route({
    method: 'DELETE',
    path: '/api/v1/flows/{id}',
    role: 'approver',
    summary: 'Ends one open connection',
    answers: { ...ok(shape({ id: text, cut: flag })), '404': problem('It is not open.') },
    run: async (deps, ask) => {
      const { id = '' } = ask.params;
      if (!(await deps.control.cutFlow(id))) {
        return refused(404, 'flow_unknown', 'No open connection has this id.');
      }
      recordAction(deps, ask, { action: 'flow.cut', subject: id });
      return { json: { id, cut: true } };
    },
  }),
  route({
    method: 'GET',
    path: '/api/v1/blocked',
    role: 'viewer',
    summary: 'Hosts that were refused since the start, most often refused first',
    query: z.strictObject({ limit: z.coerce.number().int().min(1).max(MAX_BLOCKED).default(100) }),
    answers: ok(shape({ blocked: list(ref('Blocked')) })),
    run: async ({ control }, { query }) => ({ json: { blocked: await control.blocked(query.limit) } }),
  }),
];
