/** What needs no token: is it up, does it serve, the metrics; and the description of all the rest. */
import type { AdminDeps, Reply, Route } from '../route.ts';
import { route } from '../route.ts';
import { flag, json, list, problem, shape, text } from '../schema.ts';

/** Of the listener for metrics alone as well. */
export const METRICS_ROUTE: Route = route({
  method: 'GET',
  path: '/metrics',
  role: null,
  summary: 'Metrics as Prometheus text',
  answers: { '200': { description: 'Done.', content: { 'text/plain': { schema: text } } } },
  run: async ({ metrics }) => ({ text: await metrics.render(), type: metrics.contentType }),
});

export const HEALTH_ROUTES: readonly Route[] = [
  route({
    method: 'GET',
    path: '/healthz',
    role: null,
    summary: 'Is the process up',
    answers: { '200': json('Yes.', shape({ status: text })) },
    run: () => ({ json: { status: 'ok' } }),
  }),
  route({
    method: 'GET',
    path: '/readyz',
    role: null,
    summary: 'Does the proxy take requests',
    answers: {
      '200': json('Yes.', shape({ ready: flag, why: list(text) }, { notes: list(text) })),
      '503': problem('No; `why` names the reasons.'),
    },
    run: readiness,
  }),
  METRICS_ROUTE,
];

async function readiness({ control }: AdminDeps): Promise<Reply> {
  const { ready, why, notes = [] } = await control.ready();
  const noted = notes.length === 0 ? {} : { notes };
  if (ready) return { json: { ready: true, why: [], ...noted } };
  const detail = 'The proxy does not take requests now.';
  const more = { ready: false, why, ...noted };
  return {
    problem: { status: 503, code: 'not_ready', detail, more },
    headers: { 'retry-after': '1' },
  };
}
