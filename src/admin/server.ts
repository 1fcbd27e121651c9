/**
 * The admin side (contract section 8): who asks is checked here, for every route alike; what a route does stands in
 * `routes/`. Talks to the running proxy through ControlPlane alone. Never on the sandbox network. Made by `cli/`.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { RecordFeed } from '../audit/feed.ts';
import { mayAct, type Operator } from '../base/operator.ts';
import { recordAction } from './acted.ts';
import { type Auth, type Caller, createAuth, FAILURE_WINDOW_MS } from './auth.ts';
import { createBaseApp, type ListenAt, listenAt } from './base-app.ts';
import { addConsole, CONSOLE_PAGE, readConsole } from './console-files.ts';
import { createEvents } from './events.ts';
import { type AdminProblem, sendProblem } from './problem.ts';
import type { AdminDeps, Reply, Route, ShownMetrics } from './route.ts';
import { METRICS_ROUTE } from './routes/health.ts';
import { ROUTES } from './routes.ts';
import { noteStrangers, type Told } from './strangers.ts';

export type AdminOptions = Omit<AdminDeps, 'events' | 'searches'> & {
  readonly feed: RecordFeed;
  readonly onError: (error: unknown) => void;
  /** the content of `.sallyport/admin.token`, without its newline */
  readonly token: string;
  readonly listen: ListenAt;
  /** further names that Host may carry */
  readonly names?: readonly string[];
  /** hears of every wrong token */
  readonly onStranger?: (told: Told) => void;
};

export type Admin = {
  readonly listen: () => Promise<{ address: string; port: number }>;
  readonly close: () => Promise<void>;
  /** for tests: requests without a socket */
  readonly app: FastifyInstance;
};

const WRITES: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH', 'DELETE']);
/** Answered to whoever reaches the port: they tell nothing that a rebound page could use. */
const HEALTH: ReadonlySet<string> = new Set(['/healthz', '/readyz']);
/** For routes that need no token: nobody's. */
const NOBODY: Operator = { name: '', role: 'viewer' };

/** Throws when the token is too short to be one that we made. */
export function createAdmin(opts: AdminOptions): Admin {
  const auth = createAuth({
    token: opts.token,
    verify: (token) => opts.operators.verify(token),
    listenHost: opts.listen.host,
    names: opts.names ?? [],
    clock: opts.clock,
  });
  const page = readConsole();
  const app = createBaseApp([...ROUTES, ...page.map(({ path }) => ({ method: 'GET' as const, path }))]);
  const known = new WeakMap<FastifyRequest, Operator>();
  app.addContentTypeParser(/^application\/json\b/i, { parseAs: 'string' }, parseJson);
  const { record, clock, onStranger = () => {} } = opts;
  const noteStranger = noteStrangers({ record, clock, onStranger });
  app.addHook('onRequest', async (request, reply) => {
    const judged = judge(auth, request);
    if ('code' in judged) {
      const { code } = judged;
      if (code === 'token_invalid' || code === 'too_many_failures')
        noteStranger(request.socket.remoteAddress ?? '', code);
      return refuse(reply, judged);
    }
    known.set(request, judged);
    return undefined;
  });
  const { control, feed, onError } = opts;
  const events = createEvents({ feed, control, onError, valid: (who) => opts.operators.valid(who) });
  const deps: AdminDeps = { ...opts, events, searches: { running: 0 } };
  addConsole(app, page);
  for (const route of ROUTES) addRoute(app, { route, deps, who: (request) => known.get(request) });
  const close = async (): Promise<void> => {
    events.close();
    await app.close();
  };
  return { app, listen: () => listenAt(app, opts.listen), close };
}

/**
 * `metrics.listen`: an address of its own that serves `/metrics` and nothing else, so that Prometheus needs
 * no way to the admin side. Meant for a network, so Host is not checked; it holds no key and takes no input.
 */
export function createMetricsListener(opts: { metrics: ShownMetrics; listen: ListenAt }): Admin {
  const app = createBaseApp([METRICS_ROUTE]);
  const { metrics } = opts;
  app.get(METRICS_ROUTE.path, async (_request, reply) => {
    reply.type(metrics.contentType);
    return metrics.render();
  });
  return { app, listen: () => listenAt(app, opts.listen), close: () => app.close() };
}

type Added = {
  readonly route: Route;
  readonly deps: AdminDeps;
  readonly who: (request: FastifyRequest) => Operator | undefined;
};

function addRoute(app: FastifyInstance, { route, deps, who }: Added): void {
  app.route({
    method: route.method,
    url: route.path.replaceAll(/\{(\w+)\}/g, ':$1'),
    handler: async (request, reply) => {
      const operator = route.role === null ? NOBODY : who(request);
      // Every request passed the hook; one that did not is nobody's.
      if (operator === undefined) return refuse(reply, roleNeeded(route, NOBODY));
      const client = request.socket.remoteAddress ?? '';
      if (route.role !== null && !mayAct(operator, route.role)) {
        const action = `${route.method} ${route.path}`;
        if (WRITES.has(route.method))
          recordAction(deps, { who: operator, client }, { action, outcome: 'refused' });
        return refuse(reply, roleNeeded(route, operator));
      }
      const { body, query } = request;
      const header = request.headers['last-event-id'];
      const lastEventId = typeof header === 'string' ? header : null;
      return send(
        reply,
        await route.run(deps, { who: operator, client, lastEventId, params: paramsOf(request), query, body }),
      );
    },
  });
}

function send(reply: FastifyReply, answer: Reply): FastifyReply {
  if ('stream' in answer) {
    reply.hijack();
    answer.stream(reply);
    return reply;
  }
  if ('problem' in answer) return sendProblem(reply.headers(answer.headers ?? {}), answer.problem);
  if ('text' in answer) return reply.type(answer.type).send(answer.text);
  return reply.code(answer.status ?? 200).send(answer.json);
}

function paramsOf({ params }: FastifyRequest): Readonly<Record<string, string>> {
  const given = typeof params === 'object' && params !== null ? Object.entries(params) : [];
  return Object.fromEntries(given.map(([name, value]) => [name, String(value)]));
}

function roleNeeded({ role }: Route, who: Operator): AdminProblem {
  return { status: 403, code: 'role_needed', detail: `This needs the role ${role}; yours is ${who.role}.` };
}

function judge(auth: Auth, request: FastifyRequest): Operator | AdminProblem {
  const path = request.url.split('?', 1)[0] ?? '';
  if (HEALTH.has(path)) return NOBODY;
  const caller = callerOf(request);
  const foreign = auth.checkOrigin(isVisit(request, path) ? { ...caller, fetchSite: undefined } : caller);
  if (foreign !== null) return foreign;
  // Unknown paths of the API need the token as well: what exists is not told to strangers.
  if (path === '/metrics' || !path.startsWith('/api/')) return NOBODY;
  const who = auth.checkToken(caller);
  return 'code' in who ? who : (notJson(request) ?? who);
}

/** Somebody follows a link to the console, from a dashboard for example: the page itself does and tells nothing yet. */
function isVisit({ method, headers }: FastifyRequest, path: string): boolean {
  return (
    method === 'GET' &&
    path === CONSOLE_PAGE &&
    headers['sec-fetch-mode'] === 'navigate' &&
    headers['sec-fetch-dest'] === 'document'
  );
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
