/** What `top` shows, read from the admin API; its answers are another process's, so they are judged. */
import { z } from 'zod';
import { type AdminAccess, askAdmin, askAdminText } from './admin-client.ts';

const SHOWN = 15;
/** Labels and values as the metrics text of this program writes them. */
const REQUESTS = /^sallyport_requests_total\{group="((?:[^"\\]|\\.)*)"[^\n]*\} (\d+)$/gm;

const status = z.object({ version: z.string(), ready: z.boolean(), why: z.array(z.string()) });
const groups = z.object({
  groups: z.array(
    z.object({
      group: z.string(),
      mode: z.string(),
      open_connections: z.number(),
      keys: z.object({ usable: z.number(), total: z.number() }),
    }),
  ),
});
const blocked = z.object({
  blocked: z.array(
    z.object({
      group: z.string(),
      host: z.string(),
      reason: z.string(),
      count: z.number(),
      last: z.string(),
    }),
  ),
});
const approvals = z.object({
  approvals: z.array(
    z.object({ id: z.string(), group: z.string(), method: z.string(), url: z.string(), expires: z.string() }),
  ),
});
const lockdown = z.object({
  locks: z.array(z.object({ group: z.string(), since: z.string(), by: z.string(), reason: z.string() })),
});

export type TopView = z.output<typeof status> &
  z.output<typeof blocked> &
  z.output<typeof lockdown> & {
    /** milliseconds since the epoch */
    readonly at: number;
    readonly groups: readonly (z.output<typeof groups>['groups'][number] & {
      /** requests and tunnels that ended since the proxy started */
      readonly requests: number;
      /** of them a second since the reading before; null: there is none */
      readonly per_second: number | null;
    })[];
    readonly held: z.output<typeof approvals>['approvals'];
  };

/** One reading; `before`: the last one, for the rates. Throws CliError where no proxy answers, ZodError for foreign answers. */
export async function readTop(
  access: AdminAccess,
  now: () => number,
  before: TopView | null,
): Promise<TopView> {
  const get = (path: string): Promise<unknown> => askAdmin(access, 'GET', path);
  const [state, grouped, refused, waiting, locked, metrics] = await Promise.all([
    get('/api/v1/status'),
    get('/api/v1/groups'),
    get(`/api/v1/blocked?limit=${SHOWN}`),
    get('/api/v1/approvals'),
    get('/api/v1/lockdown'),
    askAdminText(access, '/metrics'),
  ]);
  const at = now();
  const counts = requestsIn(metrics);
  const rows = groups.parse(grouped).groups.map((one) => {
    const requests = counts.get(one.group) ?? 0;
    return { ...one, requests, per_second: rateOf(one.group, { requests, at }, before) };
  });
  return {
    at,
    ...status.parse(state),
    groups: rows,
    ...blocked.parse(refused),
    held: approvals.parse(waiting).approvals,
    ...lockdown.parse(locked),
  };
}

function requestsIn(metrics: string): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const [, group = '', count] of metrics.matchAll(REQUESTS)) {
    counts.set(group, (counts.get(group) ?? 0) + Number(count));
  }
  return counts;
}

/** A count that fell is that of a proxy that was started anew. */
function rateOf(
  group: string,
  now: { readonly requests: number; readonly at: number },
  before: TopView | null,
): number | null {
  const then = before?.groups.find((one) => one.group === group);
  if (before === null || then === undefined || now.at <= before.at || now.requests < then.requests)
    return null;
  return ((now.requests - then.requests) * 1000) / (now.at - before.at);
}
