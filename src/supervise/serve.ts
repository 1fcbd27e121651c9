/**
 * The worker's end of the channel: begins when it is told with what, answers questions, drains when it is told to or
 * when the supervising process is gone. Run by `cli/worker.ts`.
 */

import type { DeskEvent } from '../base/approvals.ts';
import { systemClock } from '../base/clock.ts';
import type { LocalControl } from '../base/control.ts';
import type { Endpoint } from '../config/settings.ts';
import type { MetricsJson } from '../metrics/merge.ts';
import type { Lock } from '../state/lockdown.ts';
import type { StateStore } from '../state/store.ts';
import {
  type Addresses,
  type Asked,
  type Begin,
  type FromWorker,
  isToWorker,
  type MintedValue,
} from './messages.ts';
import { RemoteStore } from './remote-store.ts';

/** The channel to the supervising process. */
export type Channel = {
  readonly tell: (message: FromWorker) => void;
  readonly onMessage: (fn: (message: unknown) => void) => void;
  /** the other end is gone */
  readonly onGone: (fn: () => void) => void;
};

/** A proxy that runs in this process. */
export type Served = {
  readonly at: Addresses;
  readonly control: LocalControl;
  readonly metrics: () => Promise<MetricsJson>;
  /** listeners that no sandbox may reach */
  readonly own: () => readonly Endpoint[];
  /** locks that another process holds; what is locked is cut when it returns */
  readonly holdLocks: (locks: readonly Lock[]) => void;
  /** calls `fn` with what operators hear of */
  readonly onDesk: (fn: (event: DeskEvent) => void) => void;
  /** calls `fn` with the tokens that were made for this process, now and whenever they change */
  readonly onMinted: (fn: (minted: readonly MintedValue[]) => void) => void;
  readonly minted: () => readonly MintedValue[];
  /** tokens of other workers */
  readonly learnMinted: (minted: readonly MintedValue[]) => void;
  readonly setOthers: (own: readonly Endpoint[]) => void;
  /** a question could not be answered: whoever asked hears nothing */
  readonly onError: (error: unknown) => void;
  readonly stop: () => Promise<void>;
  readonly stopNow: () => Promise<void>;
};

/** Resolves when the proxy has ended; false: it could not start. `start` makes it; `onRunning` is told of it once. */
export async function serveChannel(
  channel: Channel,
  start: (begin: Begin, store: StateStore) => Promise<Served>,
  onRunning: (served: Served) => void,
): Promise<boolean> {
  const begun = Promise.withResolvers<Begin | null>();
  const over = Promise.withResolvers<void>();
  let served: Served | null = null;
  let store: RemoteStore | null = null;
  let stop: { now: boolean } | null = null;
  const end = (now: boolean): void => {
    stop = { now: now || stop?.now === true };
    if (served === null) return begun.resolve(null);
    return over.resolve(now ? served.stopNow() : served.stop());
  };
  channel.onMessage((message) => {
    if (!isToWorker(message)) return;
    switch (message.kind) {
      case 'begin':
        return begun.resolve(message);
      case 'own':
        return served?.setOthers(message.own);
      case 'minted':
        return served?.learnMinted(message.minted);
      case 'tell-minted':
        return served === null ? undefined : tellMinted(channel, served.minted());
      case 'counted':
        return store?.answer(message.id, message.first, message.second);
      case 'stop':
        return end(message.now);
      case 'ask':
        return served === null ? undefined : void answer(channel, served, message).catch(served.onError);
    }
  });
  channel.onGone(() => end(false));
  const begin = await begun.promise;
  if (begin === null) return true;
  store = new RemoteStore({ tell: channel.tell, workers: begin.workers, clock: systemClock });
  try {
    served = await start(begin, store);
  } catch (error) {
    channel.tell({ kind: 'failed', ...told(error) });
    return false;
  }
  onRunning(served);
  served.onMinted((minted) => tellMinted(channel, minted));
  served.onDesk((event) => channel.tell({ kind: 'desk', event }));
  channel.tell({ kind: 'ready', at: served.at, own: served.own() });
  // It may have been told to end while it started.
  if (stop !== null) end(false);
  await over.promise;
  return true;
}

function tellMinted(channel: Channel, minted: readonly MintedValue[]): void {
  if (minted.length > 0) channel.tell({ kind: 'minted', minted });
  // Copies, which the channel has read.
  for (const { bytes } of minted) bytes.fill(0);
}

async function answer(
  { tell }: Channel,
  { control, metrics, holdLocks }: Served,
  asked: Asked,
): Promise<void> {
  const { id } = asked;
  switch (asked.what) {
    case 'report':
      return tell({ kind: 'report', id, value: { status: control.status(), groups: control.groups() } });
    case 'flows':
      return tell({ kind: 'flows', id, value: control.flows() });
    case 'reload':
      return tell({ kind: 'reload', id, value: control.reload() });
    case 'metrics':
      return tell({ kind: 'metrics', id, value: await metrics() });
    case 'blocked':
      return tell({ kind: 'blocked', id, value: control.blocked(asked.about) });
    case 'cut':
      return tell({ kind: 'cut', id, value: control.cutFlow(asked.about) });
    case 'explain':
      return tell({ kind: 'explain', id, value: control.explain(asked.about) });
    case 'lockdown':
      holdLocks(asked.about);
      return tell({ kind: 'lockdown', id, value: true });
    case 'approvals':
      return tell({ kind: 'approvals', id, value: await control.approvals() });
    case 'decide':
      return tell({ kind: 'decide', id, value: await control.decide(asked.about) });
    case 'forget':
      return tell({ kind: 'forget', id, value: await control.forget(asked.about.id, asked.about.by) });
  }
}

function told(error: unknown): { message: string; code: string } {
  if (!(error instanceof Error)) return { message: String(error), code: '' };
  return { message: error.message, code: 'code' in error ? String(error.code) : '' };
}
