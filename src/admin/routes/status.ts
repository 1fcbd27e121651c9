/** The proxy as a whole, the groups of its policy, and loading that policy anew. */
import { recordAction } from '../acted.ts';
import { type Route, route } from '../route.ts';
import { flag, list, ok, orNull, problem, ref, shape, text, time, whole } from '../schema.ts';

const AUDIT = shape({ healthy: flag, seq: whole, hash: text });

/** What a group has of a limit, and what of it is used now; null: no such limit. */
const limitOrNull = (limit: object): object => orNull(shape({ limit, used: whole }));

export const STATUS_SCHEMAS = {
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
  Replica: shape({ id: text, name: text, self: flag, version: text, since: time, policies: list(text) }),
  Replicas: shape({
    connected: flag,
    shared: orNull(time),
    policies: whole,
    seen: list(ref('Replica')),
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
    { workers: list(ref('Worker')), people: AUDIT, replicas: ref('Replicas') },
  ),
  Group: shape({
    group: text,
    description: orNull(text),
    mode: { type: 'string', enum: ['enforce', 'monitor'] },
    token: { type: 'string', enum: ['optional', 'required'] },
    sources: list(text),
    rules: whole,
    keys: shape({
      usable: whole,
      total: whole,
      names: list(text),
      unavailable: list(shape({ name: text, why: text })),
    }),
    open_connections: whole,
    limits: shape({
      connections: limitOrNull(whole),
      requests: limitOrNull(text),
      upload: limitOrNull(text),
      download: limitOrNull(text),
    }),
    file: text,
  }),
} as const;

export const STATUS_ROUTES: readonly Route[] = [
  route({
    method: 'GET',
    path: '/api/v1/status',
    role: 'viewer',
    summary: 'The proxy as a whole',
    answers: ok(ref('Status')),
    run: async ({ control }) => ({ json: await control.status() }),
  }),
  route({
    method: 'GET',
    path: '/api/v1/groups',
    role: 'viewer',
    summary: 'The groups of the policy in force',
    answers: ok(shape({ groups: list(ref('Group')) })),
    run: async ({ control }) => ({ json: { groups: await control.groups() } }),
  }),
  route({
    method: 'POST',
    path: '/api/v1/reload',
    role: 'admin',
    summary: 'Loads the policy files',
    answers: {
      ...ok(shape({ ok: flag, policy: text })),
      '422': problem('The files are not valid, `problems` says why; the old policy stays.'),
    },
    run: async (deps, ask) => {
      const result = await deps.control.reload();
      recordAction(deps, ask, { action: 'reload', outcome: result.ok ? 'done' : 'failed' });
      if (result.ok) return { json: { ok: true, policy: result.policy } };
      const detail = 'The new policy is not valid; the old one stays in force.';
      const more = { problems: result.problems };
      return { problem: { status: 422, code: 'policy_invalid', detail, more } };
    },
  }),
];
