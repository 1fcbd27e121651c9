/**
 * A proxy's life: first policy and keys, listening, the clock tick that enforces deadlines and revocations,
 * reloads, draining, the end. `cli/start.ts` and tests run it; the admin side talks to it through `control.ts`.
 */
import type net from 'node:net';
import { listen } from './accept/listener.ts';
import type { Endpoint } from './config/settings.ts';
import type { ReloadOutcome, Snapshot } from './config/snapshot.ts';
import { watchFolder } from './config/watch.ts';
import { denied } from './flow/reason.ts';
import { createFront } from './front.ts';
import { keepRecord, type RecordKeeper } from './operators/record.ts';
import { createParts, type Parts, type ProxyOptions } from './proxy.ts';
import { openTransparent, type Transparent } from './transparent.ts';

export type RunningProxy = {
  readonly parts: Parts;
  /** where it listens: the real port when 0 was asked for */
  readonly address: Endpoint;
  /** where clients without a proxy are served */
  readonly transparent: Pick<Transparent, 'tls' | 'http' | 'dns'>;
  /** reads policies, keys and tokens again; keeps the old policy when the new one is bad */
  reload(): ReloadOutcome;
  /** stops accepting, lets open work end within `drainMs`, then cuts the rest. Safe to call twice. */
  stop(): Promise<void>;
  /** `stop` without the wait: cuts what is open at once, also when a stop is under way */
  stopNow(): Promise<void>;
};

/** Deadlines, expiry and revocation are looked at this often (contract: cut within 5 s). */
const TICK_MS = 1_000;
const DRAIN_POLL_MS = 50;
/** From a destroyed socket to its close event; well within what `start` gives a hurried stop. */
const CLOSE_MS = 500;

/** Starts. Rejects when the address is taken or a file of the state folder is unusable. */
export async function startProxy(options: ProxyOptions): Promise<RunningProxy> {
  const parts = createParts(options);
  const stops: (() => void)[] = [];
  try {
    return await begin(parts, stops);
  } catch (error) {
    for (const stop of stops) stop();
    // Its lock would tell the next start of a crash.
    await parts.trail.close();
    throw error;
  }
}

/** `stops`: gets what ends when the proxy does, or when this rejects. */
async function begin(parts: Parts, stops: (() => void)[]): Promise<RunningProxy> {
  const { options } = parts;
  stops.push(parts.snapshots.subscribe((now) => adopt(parts, now)));
  stops.push(parts.tokens.subscribe(() => adoptIdentities(parts)));
  stops.push(parts.lockdown.subscribe(() => adoptLockdown(parts)));
  const reload = (): ReloadOutcome => reloadAll(parts);
  // Before the first look: what changes behind it is told, in this process as in every other worker.
  stops.push(watchFolder(options.settings.policies, () => void reload()));
  reload();
  await parts.keyring.load(secretRefs(parts));
  // Before anything is accepted.
  if (parts.parent !== null) parts.state.others.push(await parts.parent.listen());
  const front = createFront(parts);
  const transparent = await openTransparent(parts, front);
  for (const at of [transparent.tls, transparent.http, transparent.dns]) {
    if (at !== null) parts.state.others.push(at);
  }
  const server = front.listener;
  const address = await listen(server, options.settings.proxy.listen, options.worker !== undefined);
  const endpoint = { host: address.address, port: address.port };
  parts.state.listeners.push(endpoint);
  const ticker = setInterval(() => tick(parts), TICK_MS);
  stops.push(() => clearInterval(ticker));
  const keeper = options.worker === undefined ? recordKeeper(parts) : null;
  const hurry = new AbortController();
  let stopping: Promise<void> | null = null;
  const stop = (): Promise<void> => {
    stopping ??= stopProxy(parts, { server, transparent, stops, keeper, hurry: hurry.signal });
    return stopping;
  };
  return {
    parts,
    address: endpoint,
    transparent,
    reload,
    stop,
    stopNow: () => {
      hurry.abort();
      return stop();
    },
  };
}

function reloadAll(parts: Parts): ReloadOutcome {
  const { log } = parts.options;
  const before = parts.snapshots.current();
  const outcome = parts.snapshots.reload();
  parts.metrics.policyReload(outcome.ok ? 'ok' : 'error');
  if (outcome.ok) {
    const { hash, groups } = outcome.snapshot.set;
    log.info({ policy: hash, groups: groups.size }, 'policy loaded');
  } else {
    const kept = before === null ? 'everything is refused until it is mended' : 'the old one stays in force';
    for (const problem of outcome.problems) log.error({ ...problem }, `policy not loaded, ${kept}`);
  }
  parts.tokens.reload();
  parts.authority.reload();
  void parts.keyring.reread();
  return outcome;
}

/** A new policy is in force: keys, placeholders, pools and every live flow follow it. */
function adopt(parts: Parts, now: Snapshot): void {
  const entries = [...now.set.groups.values()].map(({ name, mode }) => ({
    group: name,
    mode,
    hash: now.set.hash,
  }));
  parts.metrics.policyInfo(entries);
  parts.adoptLimits(now, parts.live.seats());
  void parts.keyring.load(secretRefs(parts));
  parts.pool.retire(now.id);
  adoptIdentities(parts);
  parts.live.cutLosers(parts.revoker.verdict);
  parts.approvals.review();
}

/** Tokens or groups came or went. */
function adoptIdentities(parts: Parts): void {
  const set = parts.snapshots.current()?.set;
  if (set === undefined) return;
  const tokens = parts.tokens.list().filter((token) => parts.tokens.valid(token.id, token.group));
  parts.bindings.rebuild(
    set.groups,
    tokens.map(({ id, group }) => ({ id, group })),
  );
  parts.live.cutLosers(parts.revoker.identity);
}

/** Groups were locked or let go: what the locked ones have open ends now, upstream connections too. */
function adoptLockdown({ live, revoker, pool, lockdown, metrics, clock }: Parts): void {
  live.cutLosers(revoker.identity);
  pool.cutGroups((group) => lockdown.denial(group) !== null);
  const newest = Math.max(...lockdown.locks().map(({ since }) => Date.parse(since)));
  if (Number.isFinite(newest)) metrics.lockdownCut(newest, clock.now());
}

function secretRefs(parts: Parts) {
  const groups = parts.snapshots.current()?.set.groups.values() ?? [];
  return [...groups].flatMap((group) => group.secrets.map((secret) => secret.from));
}

function recordKeeper({ options, clock, trail, lockdown }: Parts): RecordKeeper {
  return keepRecord({ dir: options.settings.state.dir, clock, trail, lockdown });
}

function tick(parts: Parts): void {
  parts.live.tick(parts.clock.mono());
  parts.live.cutLosers(parts.revoker.identity);
  parts.approvals.tick(parts.clock.mono());
  parts.bindings.look();
}

type Stop = {
  readonly server: net.Server;
  readonly transparent: Transparent;
  /** subscriptions, watchers and timers */
  readonly stops: readonly (() => void)[];
  /** null: the supervising process keeps the record of what people do */
  readonly keeper: RecordKeeper | null;
  /** aborted: nothing may take its time any more */
  readonly hurry: AbortSignal;
};

async function stopProxy(parts: Parts, { server, transparent, stops, keeper, hurry }: Stop): Promise<void> {
  parts.state.draining = true;
  parts.approvals.drain();
  server.close();
  await transparent.close();
  await untilEmpty(parts, parts.options.settings.proxy.drainMs, hurry);
  for (const stop of stops) stop();
  parts.live.cutLosers(() => denied('draining'));
  for (const link of parts.live.links()) link.cut(denied('draining'));
  // Their close events write the last end records (invariant I4), so the trail stays open for them.
  await untilEmpty(parts, CLOSE_MS);
  parts.pool.close();
  await parts.parent?.close();
  parts.resolver.close();
  parts.keyring.close();
  parts.tokens.close();
  parts.lockdown.close();
  parts.authority.close();
  keeper?.stop();
  await parts.trail.close();
  keeper?.settle();
}

async function untilEmpty(parts: Parts, forMs: number, hurry?: AbortSignal): Promise<void> {
  const deadline = parts.clock.mono() + forMs;
  while (parts.live.connections > 0 && parts.clock.mono() < deadline && hurry?.aborted !== true) {
    parts.live.tick(parts.clock.mono());
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, DRAIN_POLL_MS);
    const wake = (): void => resolve();
    hurry?.addEventListener('abort', wake, { once: true });
    await promise;
    clearTimeout(timer);
    hurry?.removeEventListener('abort', wake);
  }
}
