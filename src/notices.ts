/**
 * Composition: how operators hear of calls that wait for them, where the settings name a webhook. Made by `cli/start*.ts` in
 * the process that has the admin side.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { DeskEvent } from './base/approvals.ts';
import type { Clock } from './base/clock.ts';
import type { Log } from './base/log.ts';
import type { Settings } from './config/settings.ts';
import { loadRoots } from './dial/roots.ts';
import type { Metrics } from './metrics/metrics.ts';
import { Notifier } from './notify/notifier.ts';
import { createPost } from './notify/post.ts';
import { notifySecret } from './notify/secret-file.ts';

export type Notices = {
  readonly take: (event: DeskEvent) => void;
  close(): Promise<void>;
};

/** Nobody is told where no URL is set. Throws the file system's error where the secret cannot be made or read. */
export function createNotices(of: {
  readonly settings: Settings;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Pick<Metrics, 'notice'>;
}): Notices {
  const { settings, clock, log, metrics } = of;
  const { url, format } = settings.notify;
  if (url === null) return { take: () => {}, close: async () => {} };
  for (const outcome of ['sent', 'failed', 'dropped'] as const) metrics.notice(outcome, 0);
  const notifier = new Notifier({
    post: createPost(url, loadRoots({ extraCa: settings.tls.extraCa }).ca),
    format,
    secret: notifySecret(settings.state.dir),
    clock,
    // Not the URL: it often is a credential.
    onOutcome: (outcome) => {
      metrics.notice(outcome);
      if (outcome !== 'sent') log.warn({ outcome }, 'notify: the webhook was not told of a call that waits');
    },
    pause: (ms, signal) => pause(ms, undefined, { signal }).catch(() => {}),
  });
  return { take: (event) => notifier.take(event), close: () => notifier.close() };
}
