/** What is open now. */
import { type Route, route } from '../route.ts';
import { list, ok, ref, shape, text, time, whole } from '../schema.ts';

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
} as const;

export const FLOW_ROUTES: readonly Route[] = [
  route({
    method: 'GET',
    path: '/api/v1/flows',
    role: 'viewer',
    summary: 'What is open now',
    answers: ok(shape({ flows: list(ref('Flow')) })),
    run: async ({ control }) => ({ json: { flows: await control.flows() } }),
  }),
];
