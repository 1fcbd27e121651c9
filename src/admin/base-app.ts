/**
 * What both admin-side listeners have in common: limits, security headers, every error as problem+json, 405
 * with Allow. Used by `server.ts`.
 */
import type { Socket } from 'node:net';
import fastify, { type FastifyError, type FastifyInstance } from 'fastify';
import { problemBody, sendProblem } from './problem.ts';
import type { Route } from './route.ts';

export const MAX_BODY_BYTES = 65_536;
const MAX_HEADER_BYTES = 16_384;
const REQUEST_MS = 10_000;
const IDLE_MS = 30_000;
const MAX_CONNECTIONS = 256;

/** What no answer of ours needs a browser to do. */
const SECURITY_HEADERS = {
  'cache-control': 'no-store',
  'content-security-policy':
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
} as const;

export type ListenAt = { readonly host: string; readonly port: number };

type Named = Pick<Route, 'method' | 'path'>;

/** A Fastify app without routes. `routes`: what the caller is going to add, so that a wrong method gets 405 and not 404. */
export function createBaseApp(routes: readonly Named[]): FastifyInstance {
  const known = routes.map(({ method, path }) => ({ method, pattern: patternOf(path) }));
  const app = fastify({
    logger: false,
    bodyLimit: MAX_BODY_BYTES,
    requestTimeout: REQUEST_MS,
    connectionTimeout: IDLE_MS,
    keepAliveTimeout: IDLE_MS,
    forceCloseConnections: true,
    http: { maxHeaderSize: MAX_HEADER_BYTES },
    clientErrorHandler: answerGarbage,
    routerOptions: { maxParamLength: 200 },
  });
  app.server.maxConnections = MAX_CONNECTIONS;
  app.removeAllContentTypeParsers();
  app.addHook('onRequest', async (_request, reply) => {
    reply.headers(SECURITY_HEADERS);
  });
  app.setErrorHandler((error: FastifyError, _request, reply) => {
    const status = error.statusCode ?? 500;
    // What went wrong inside is for the log, not for the answer.
    const detail = status < 500 ? error.message : 'Something went wrong inside.';
    return sendProblem(reply, { status, code: status < 500 ? 'bad_request' : 'internal', detail });
  });
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?', 1)[0] ?? '';
    const here = known.filter(({ pattern }) => pattern.test(path));
    const methods = here.flatMap(({ method }) => (method === 'GET' ? [method, 'HEAD'] : [method]));
    if (methods.length === 0) {
      return sendProblem(reply, { status: 404, code: 'not_found', detail: 'There is nothing here.' });
    }
    reply.header('allow', methods.join(', '));
    const detail = `Use ${methods.join(' or ')} here.`;
    return sendProblem(reply, { status: 405, code: 'method_not_allowed', detail });
  });
  return app;
}

/** `{id}` is one segment. */
function patternOf(path: string): RegExp {
  const parts = path.split('/').map((part) => (part.startsWith('{') ? '[^/]+' : part.replaceAll('.', '\\.')));
  return new RegExp(`^${parts.join('/')}$`);
}

/** Listens; returns the address, which port 0 leaves open until then. */
export async function listenAt(
  app: FastifyInstance,
  at: ListenAt,
): Promise<{ address: string; port: number }> {
  await app.listen({ host: at.host, port: at.port });
  const bound = app.server.address();
  if (bound === null || typeof bound === 'string') throw new Error('the admin listener has no address');
  return { address: bound.address, port: bound.port };
}

/** Bytes that are no HTTP request, or came too slowly. */
function answerGarbage(error: Error & { code?: string }, socket: Socket): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const status = garbageStatus(error.code);
  const body = problemBody({ status, code: 'bad_request', detail: 'This is not a request.' });
  const head = `HTTP/1.1 ${status} \r\ncontent-type: application/problem+json\r\nconnection: close`;
  socket.end(`${head}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
}

function garbageStatus(code: string | undefined): number {
  if (code === 'HPE_HEADER_OVERFLOW') return 431;
  return code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : 400;
}
