/** Every route of the admin side, and its description in OpenAPI 3.1, made of the same list. */
import { z } from 'zod';
import type { Route } from './route.ts';
import { APPROVAL_ROUTES, APPROVAL_SCHEMAS } from './routes/approvals.ts';
import { AUDIT_ROUTES } from './routes/audit.ts';
import { EXPLAIN_ROUTES, EXPLAIN_SCHEMAS } from './routes/explain.ts';
import { FLOW_ROUTES, FLOW_SCHEMAS } from './routes/flows.ts';
import { HEALTH_ROUTES } from './routes/health.ts';
import { LOCKDOWN_ROUTES, LOCKDOWN_SCHEMAS } from './routes/lockdown.ts';
import { OPERATOR_ROUTES, OPERATOR_SCHEMAS } from './routes/operators.ts';
import { STATUS_ROUTES, STATUS_SCHEMAS } from './routes/status.ts';
import { TOKEN_ROUTES, TOKEN_SCHEMAS } from './routes/tokens.ts';
import { ok, problem, text, whole } from './schema.ts';

const DESCRIPTION_ROUTE: Route = {
  method: 'GET',
  path: '/api/openapi.json',
  role: 'viewer',
  summary: 'This description',
  body: null,
  query: null,
  answers: ok({ type: 'object' }),
  run: () => ({ json: OPENAPI }),
};

export const ROUTES: readonly Route[] = [
  ...HEALTH_ROUTES,
  DESCRIPTION_ROUTE,
  ...STATUS_ROUTES,
  ...FLOW_ROUTES,
  ...LOCKDOWN_ROUTES,
  ...TOKEN_ROUTES,
  ...AUDIT_ROUTES,
  ...EXPLAIN_ROUTES,
  ...OPERATOR_ROUTES,
  ...APPROVAL_ROUTES,
];

const SCHEMAS = {
  Problem: {
    type: 'object',
    description: 'RFC 9457.',
    properties: { type: text, title: text, status: whole, detail: text, error: text },
    required: ['type', 'title', 'status', 'detail', 'error'],
  },
  ...STATUS_SCHEMAS,
  ...FLOW_SCHEMAS,
  ...LOCKDOWN_SCHEMAS,
  ...TOKEN_SCHEMAS,
  ...EXPLAIN_SCHEMAS,
  ...OPERATOR_SCHEMAS,
  ...APPROVAL_SCHEMAS,
} as const;

/** What every route with a role may answer. */
const UNAUTHORISED = {
  '401': problem('The token is missing or wrong.'),
  '403': problem('The request comes from another page, or needs another role.'),
  '421': problem('Host does not name this listener.'),
  '429': problem('Too many wrong tokens.'),
} as const;

export const OPENAPI = {
  openapi: '3.1.0',
  info: {
    title: 'Sallyport admin API',
    version: '1',
    description: 'Status and control of a running proxy. Errors are RFC 9457 problems.',
  },
  security: [{ token: [] }],
  paths: paths(),
  components: {
    securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
    schemas: SCHEMAS,
  },
} as const;

function paths(): Readonly<Record<string, object>> {
  const byPath = new Map<string, Record<string, object>>();
  for (const route of ROUTES) {
    const item = byPath.get(route.path) ?? {};
    item[route.method.toLowerCase()] = operation(route);
    byPath.set(route.path, item);
  }
  return Object.fromEntries(byPath);
}

function operation({ summary, role, path, query, body, answers }: Route): object {
  const parameters = [...pathParameters(path), ...(query === null ? [] : queryParameters(query))];
  const taken = body === null ? null : { 'application/json': { schema: schemaOf(body) } };
  const wrong = taken === null && parameters.length === 0 ? {} : { '400': problem('It is not understood.') };
  return {
    summary,
    ...(role === null ? { security: [] } : { description: `Role: ${role}.` }),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(taken === null ? {} : { requestBody: { required: true, content: taken } }),
    responses: { ...(role === null ? {} : { ...wrong, ...UNAUTHORISED }), ...answers },
  };
}

function pathParameters(path: string): object[] {
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: text,
  }));
}

function queryParameters(query: z.ZodType): object[] {
  const { properties = {}, required = [] } = schemaOf(query);
  return Object.entries(properties).map(([name, schema]) => ({
    name,
    in: 'query',
    required: required.includes(name),
    schema,
  }));
}

function schemaOf(schema: z.ZodType): z.core.JSONSchema.BaseSchema {
  const made = z.toJSONSchema(schema, { io: 'input' });
  // Of the document as a whole, not of each part.
  delete made.$schema;
  return made;
}
