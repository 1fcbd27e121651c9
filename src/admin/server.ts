/**
 * The admin side (contract section 8): health, readiness, metrics, status, groups, flows, reload. Talks to
 * the running proxy through ControlPlane alone. Never on the sandbox network. Made by `proxy.ts`.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { type Clock, systemClock } from '../base/clock.ts';
import type { ControlPlane } from '../base/control.ts';
import type { Metrics } from '../metrics/metrics.ts';
import { type Auth, type Caller, createAuth, FAILURE_WINDOW_MS } from './auth.ts';
import { createBaseApp, type ListenAt, listenAt } from './base-app.ts';
import { OPENAPI } from './openapi.ts';
import { type AdminProblem, sendProblem } from './problem.ts';

/** Metrics as text, of one process or of several. */
type Shown = Pick<Metrics, 'render' | 'contentType'>;

export type AdminOptions = {
  readonly control: ControlPlane;
  readonly metrics: Shown;
  /** the content of `.sallyport/admin.token`, without its newline */
  readonly token: string;
  readonly listen: ListenAt;
  /** further names that Host may carry */
  readonly names?: readonly string[];
  readonly clock?: Clock;
};

export type Admin = {
  readonly listen: () => Promise<{ address: string; port: number }>;
  readonly close: () => Promise<void>;
  /** for tests: requests without a socket */
  readonly app: FastifyInstance;
};

/** Every path of the admin side; each stands in the OpenAPI text as well. */
export const ADMIN_ROUTES: ReadonlyMap<string, readonly string[]> = new Map([
  ['/healthz', ['GET', 'HEAD']],
  ['/readyz', ['GET', 'HEAD']],
  ['/metrics', ['GET', 'HEAD']],
  ['/api/openapi.json', ['GET', 'HEAD']],
  ['/api/v1/status', ['GET', 'HEAD']],
  ['/api/v1/groups', ['GET', 'HEAD']],
  ['/api/v1/flows', ['GET', 'HEAD']],
  ['/api/v1/reload', ['POST']],
]);

const WRITES: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH', 'DELETE']);
/** Answered to whoever reaches the port: they tell nothing that a rebound page could use. */
const HEALTH: ReadonlySet<string> = new Set(['/healthz', '/readyz']);

/** Throws when the token is too short to be one that we made. */
export function createAdmin(opts: AdminOptions): Admin {
  const auth = createAuth({
    token: opts.token,
    listenHost: opts.listen.host,
    names: opts.names ?? [],
    clock: opts.clock ?? systemClock,
  });
  const app = createBaseApp(ADMIN_ROUTES);
  app.addContentTypeParser(/^application\/json\b/i, { parseAs: 'string' }, parseJson);
  app.addHook('onRequest', async (request, reply) => {
    const problem = judge(auth, request);
    if (problem !== null) return refuse(reply, problem);
    return undefined;
  });
  addPublicRoutes(app, opts);
  addApiRoutes(app, opts.control);
  return { app, listen: () => listenAt(app, opts.listen), close: () => app.close() };
}

/**
 * `metrics.listen`: an address of its own that serves `/metrics` and nothing else, so that Prometheus needs
 * no way to the admin side. Meant for a network, so Host is not checked; it holds no key and takes no input.
 */
export function createMetricsListener(opts: { metrics: Shown; listen: ListenAt }): Admin {
  const app = createBaseApp(new Map([['/metrics', ['GET', 'HEAD']]]));
  addMetrics(app, opts.metrics);
  return { app, listen: () => listenAt(app, opts.listen), close: () => app.close() };
}

function addPublicRoutes(app: FastifyInstance, { control, metrics }: AdminOptions): void {
  app.get('/healthz', async () => ({ status: 'ok' }));
  app.get('/readyz', async (_request, reply) => {
    const { ready, why } = await control.ready();
    if (ready) return { ready: true, why: [] };
    reply.header('retry-after', '1');
    const detail = 'The proxy does not take requests now.';
    return sendProblem(reply, { status: 503, code: 'not_ready', detail, more: { ready: false, why } });
  });
  addMetrics(app, metrics);
}

function addMetrics(app: FastifyInstance, metrics: Shown): void {
  app.get('/metrics', async (_request, reply) => {
    reply.type(metrics.contentType);
    return metrics.render();
  });
}

function addApiRoutes(app: FastifyInstance, control: ControlPlane): void {
  app.get('/api/openapi.json', async () => OPENAPI);
  app.get('/api/v1/status', async () => control.status());
  app.get('/api/v1/groups', async () => ({ groups: await control.groups() }));
  app.get('/api/v1/flows', async () => ({ flows: await control.flows() }));
  app.post('/api/v1/reload', async (_request, reply) => {
    const result = await control.reload();
    if (result.ok) return { ok: true, policy: result.policy };
    const detail = 'The new policy is not valid; the old one stays in force.';
    return sendProblem(reply, {
      status: 422,
      code: 'policy_invalid',
      detail,
      more: { problems: result.problems },
    });
  });
}

function judge(auth: Auth, request: FastifyRequest): AdminProblem | null {
  const path = request.url.split('?', 1)[0] ?? '';
  if (HEALTH.has(path)) return null;
  const caller = callerOf(request);
  const foreign = auth.checkOrigin(caller);
  if (foreign !== null) return foreign;
  // Unknown paths of the API need the token as well: what exists is not told to strangers.
  if (path === '/metrics' || !path.startsWith('/api/')) return null;
  return auth.checkToken(caller) ?? notJson(request);
}

/** A form or a text body is what a foreign page can send without asking first. */
function notJson(request: FastifyRequest): AdminProblem | null {
  if (!WRITES.has(request.method)) return null;
  const type = request.headers['content-type'];
  const length = request.headers['content-length'];
  const hasBody =
    request.headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0');
  if (type === undefined ? !hasBody : /^application\/json\s*(?:;|$)/i.test(type)) return null;
  return { status: 415, code: 'json_required', detail: 'Send application/json.' };
}

function refuse(reply: FastifyReply, problem: AdminProblem): FastifyReply {
  if (problem.status === 401) reply.header('www-authenticate', 'Bearer realm="sallyport"');
  if (problem.status === 429) reply.header('retry-after', String(FAILURE_WINDOW_MS / 1000));
  return sendProblem(reply, problem);
}

function callerOf(request: FastifyRequest): Caller {
  const { headers } = request;
  const site = headers['sec-fetch-site'];
  return {
    host: headers.host,
    origin: headers.origin,
    fetchSite: typeof site === 'string' ? site : undefined,
    authorization: headers.authorization,
    remote: request.socket.remoteAddress ?? '',
    local: request.socket.localAddress,
  };
}

/** An empty body is no body: `curl -X POST` with a JSON type means just that. */
function parseJson(
  _request: FastifyRequest,
  body: string,
  done: (error: Error | null, value?: unknown) => void,
): void {
  if (body.trim() === '') {
    done(null, undefined);
    return;
  }
  try {
    const value: unknown = JSON.parse(body);
    done(null, value);
  } catch {
    // The parser's words would quote the body.
    done(Object.assign(new Error('The body is not JSON.'), { statusCode: 400 }));
  }
}
