/** Opens what operators reach of a running `start`: the admin listener, and that for metrics alone. */
import path from 'node:path';
import { createAdmin, createMetricsListener } from '../admin/server.ts';
import { RecordFeed } from '../audit/feed.ts';
import { systemClock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { Endpoint, Settings } from '../config/settings.ts';
import { openTokenStore } from '../identify/token.ts';
import type { ClaimCode } from '../operators/code-check.ts';
import { openOperators } from '../operators/store.ts';
import { toCliError } from './start-text.ts';

type Shown = Pick<
  Parameters<typeof createAdmin>[0],
  'control' | 'metrics' | 'token' | 'record' | 'onStranger'
>;

/** `stops`: gets what closes them again, also when the second one fails. Resolves with their addresses, admin first. */
export async function openAdmin(
  of: { readonly settings: Settings; readonly log: Log; readonly claim: ClaimCode | null },
  shown: Shown,
  stops: (() => Promise<void>)[],
): Promise<readonly [Endpoint, ...Endpoint[]]> {
  const { settings, log, claim } = of;
  const operators = openOperators({
    claim,
    dir: settings.state.dir,
    clock: systemClock,
    watch: true,
    onProblem: (problem) => log.error({ problem }, 'operators: nobody but the built-in admin gets in'),
  });
  stops.push(async () => operators.close());
  const { dir } = settings.state;
  const auditDir = path.join(dir, 'audit');
  const onError = (error: unknown): void => log.error({ error: String(error) }, 'admin side');
  const feed = new RecordFeed({ root: auditDir, onError });
  // Not the proxy's own: with workers there is none here, and a change reaches it by the file anyway.
  const tokens = openTokenStore({ dir, clock: systemClock, watch: false, onProblem: onError });
  stops.push(async () => {
    feed.close();
    tokens.close();
  });
  const { listen, names } = settings.admin;
  const admin = createAdmin({
    ...shown,
    operators,
    tokens,
    auditDir,
    feed,
    onError,
    listen,
    names,
    clock: systemClock,
  });
  const at = await admin.listen().catch(toCliError);
  stops.push(() => admin.close());
  const first = { host: at.address, port: at.port };
  if (settings.metrics.listen === null) return [first];
  const second = createMetricsListener({ metrics: shown.metrics, listen: settings.metrics.listen });
  const also = await second.listen().catch(toCliError);
  stops.push(() => second.close());
  return [first, { host: also.address, port: also.port }];
}
