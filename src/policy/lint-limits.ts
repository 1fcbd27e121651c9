/** What is legal but unwise in `limits` of a group: warnings of `sallyport check`. Part of `lint.ts`. */
import type { GroupLimits } from './model.ts';
import { byteRateText, type Rate, requestRateText } from './units.ts';

/** Connections that a process has in all (`shares.ts`); more than half of them can be refused by other groups' use. */
const SHARED_CONNECTIONS = 10_000;
/** One package install or page opens more at once. */
const FEW_CONNECTIONS = 8;
const FEW_REQUESTS = 10;
const SMALL_BUDGET_BYTES = 1024 * 1024;
const SHORT_WINDOW_MS = 60_000;

export type LimitWarning = {
  readonly key: keyof GroupLimits;
  readonly message: string;
  readonly fix: string;
};

/** One warning at most for each limit. `monitor`: the mode of the group. */
export function lintLimits(limits: GroupLimits, monitor: boolean): readonly LimitWarning[] {
  const { connections, requests, upload, download } = limits;
  return [
    ...(connections === undefined ? [] : lintConnections(connections)),
    ...(requests === undefined || requests.amount >= FEW_REQUESTS ? [] : [fewRequests(requests)]),
    ...(upload === undefined ? [] : lintBudget('upload', upload)),
    ...(download === undefined ? [] : lintBudget('download', download)),
  ].map((found) =>
    monitor ? { ...found, message: `${found.message} (monitor mode records limits and lifts them)` } : found,
  );
}

function lintConnections(max: number): LimitWarning[] {
  const key = 'connections';
  if (max > SHARED_CONNECTIONS) {
    const message = `${max} connections are more than one process keeps for a group whatever the others do`;
    return [{ key, message, fix: `write ${SHARED_CONNECTIONS} or less` }];
  }
  if (max >= FEW_CONNECTIONS) return [];
  const message = `${max} connections at once are fewer than most clients open for one task`;
  return [{ key, message, fix: `write ${FEW_CONNECTIONS} or more` }];
}

function fewRequests(rate: Rate): LimitWarning {
  const message = `requests: ${requestRateText(rate)} lets in only ${rate.amount} at once, and then one by one`;
  return { key: 'requests', message, fix: 'name the same rate over a longer time, such as 600/h for 10/m' };
}

function lintBudget(key: 'upload' | 'download', budget: Rate): LimitWarning[] {
  const text = byteRateText(budget);
  if (budget.perMs <= SHORT_WINDOW_MS) {
    const message = `${key}: ${text} does not slow down, it cuts what is running and refuses the rest of the window`;
    return [{ key, message, fix: 'write a budget of an hour or a day' }];
  }
  if (budget.amount >= SMALL_BUDGET_BYTES) return [];
  const message = `${key}: ${text} is used up by a single TLS session or two`;
  return [{ key, message, fix: 'write 1MiB or more' }];
}
