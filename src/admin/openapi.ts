/** The admin API in OpenAPI 3.1, served at `/api/openapi.json`; a test holds it against the routes. */

const text = { type: 'string' } as const;
const whole = { type: 'integer', minimum: 0 } as const;
const flag = { type: 'boolean' } as const;
const time = { type: 'string', format: 'date-time' } as const;
const orNull = (schema: { readonly type: string }): object => ({ ...schema, type: [schema.type, 'null'] });
const list = (items: object): object => ({ type: 'array', items });
const ref = (name: string): object => ({ $ref: `#/components/schemas/${name}` });

/** Every property of `properties` is always there, those of `more` sometimes. */
function shape(
  properties: Readonly<Record<string, object>>,
  more: Readonly<Record<string, object>> = {},
): object {
  return { type: 'object', properties: { ...properties, ...more }, required: Object.keys(properties) };
}

/** What a group has of a limit, and what of it is used now; null: no such limit. */
const limitOrNull = (limit: object): object => ({
  ...shape({ limit, used: whole }),
  type: ['object', 'null'],
});

function json(description: string, schema: object): object {
  return { description, content: { 'application/json': { schema } } };
}

function problem(description: string): object {
  return { description, content: { 'application/problem+json': { schema: ref('Problem') } } };
}

const UNAUTHORISED = {
  '401': problem('The token is missing or wrong.'),
  '403': problem('The request comes from another page.'),
  '421': problem('Host does not name this listener.'),
  '429': problem('Too many wrong tokens from this address.'),
} as const;

function read(summary: string, schema: object): object {
  return { get: { summary, responses: { '200': json('Done.', schema), ...UNAUTHORISED } } };
}

function open(summary: string, responses: Readonly<Record<string, object>>): object {
  return { get: { summary, security: [], responses } };
}

const AUDIT = shape({ healthy: flag, seq: whole, hash: text });

const SCHEMAS = {
  Problem: {
    type: 'object',
    description: 'RFC 9457.',
    properties: { type: text, title: text, status: whole, detail: text, error: text },
    required: ['type', 'title', 'status', 'detail', 'error'],
  },
  PolicyProblem: shape({ file: text, line: whole, column: whole, message: text, fix: text }),
  Worker: shape({
    worker: whole,
    pid: orNull(whole),
    state: { type: 'string', enum: ['starting', 'ready', 'waiting', 'over'] },
    restarts: whole,
    ready: flag,
    policy: orNull(text),
    open_connections: whole,
    audit: AUDIT,
  }),
  Status: shape(
    {
      version: text,
      started: time,
      uptime_seconds: { type: 'number', minimum: 0 },
      ready: flag,
      why: list(text),
      policy: orNull(text),
      policy_loaded: orNull(time),
      groups: whole,
      open_connections: whole,
      listeners: shape({ proxy: text, admin: text }),
      audit: AUDIT,
    },
    { workers: list(ref('Worker')) },
  ),
  Group: shape({
    group: text,
    description: orNull(text),
    mode: { type: 'string', enum: ['enforce', 'monitor'] },
    token: { type: 'string', enum: ['optional', 'required'] },
    sources: list(text),
    rules: whole,
    keys: shape({ usable: whole, total: whole, names: list(text) }),
    open_connections: whole,
    limits: shape({
      connections: limitOrNull(whole),
      requests: limitOrNull(text),
      upload: limitOrNull(text),
      download: limitOrNull(text),
    }),
    file: text,
  }),
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

export const OPENAPI = {
  openapi: '3.1.0',
  info: {
    title: 'Sallyport admin API',
    version: '1',
    description: 'Status and control of a running proxy. Errors are RFC 9457 problems.',
  },
  security: [{ token: [] }],
  paths: {
    '/healthz': open('Is the process up', { '200': json('Yes.', shape({ status: text })) }),
    '/readyz': open('Does the proxy take requests', {
      '200': json('Yes.', shape({ ready: flag, why: list(text) })),
      '503': problem('No; `why` names the reasons.'),
    }),
    '/metrics': open('Metrics as Prometheus text', {
      '200': { description: 'Done.', content: { 'text/plain': { schema: text } } },
    }),
    '/api/openapi.json': read('This description', { type: 'object' }),
    '/api/v1/status': read('The proxy as a whole', ref('Status')),
    '/api/v1/groups': read('The groups of the policy in force', shape({ groups: list(ref('Group')) })),
    '/api/v1/flows': read('What is open now', shape({ flows: list(ref('Flow')) })),
    '/api/v1/reload': {
      post: {
        summary: 'Loads the policy files',
        responses: {
          '200': json('The new policy is in force.', shape({ ok: flag, policy: text })),
          ...UNAUTHORISED,
          '422': problem('The files are not valid, `problems` says why; the old policy stays.'),
        },
      },
    },
  },
  components: {
    securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
    schemas: SCHEMAS,
  },
} as const;
