/** The metrics of what people do, decide and are told, and of who tries to be one of them. Part of `register.ts`. */
import type { Registry } from 'prom-client';
import type { Counts } from './counts.ts';
import { liveCounter, liveGauge, type Row } from './prom-metrics.ts';
import { outcomes, row } from './rows.ts';

export function registerPeople(registry: Registry, counts: Counts): void {
  liveGauge(registry, {
    name: 'sallyport_approvals_pending',
    help: 'Calls that wait for a person; the same one asked several times is one.',
    labels: ['group'],
    rows: () => [...counts.pending()].map(([group, value]) => row({ group }, value)),
  });
  liveCounter(registry, {
    name: 'sallyport_approvals_total',
    help: 'Requests that an approve rule decided, by what became of them.',
    labels: ['group', 'outcome'],
    rows: () => [...counts.approvals.rows()].map(([group, outcome, value]) => row({ group, outcome }, value)),
  });
  liveGauge(registry, {
    name: 'sallyport_lockdown',
    help: 'Is the group locked down by name (* for all).',
    labels: ['group'],
    merge: 'max',
    rows: () => lockdownRows(counts),
  });
  liveGauge(registry, {
    name: 'sallyport_lockdown_cut_seconds',
    help: 'From the newest lock until all that it cut had ended, in the slowest process.',
    labels: [],
    merge: 'max',
    rows: () => (counts.cut === null ? [] : [row({}, (counts.cut.over - counts.cut.since) / 1000)]),
  });
  liveCounter(registry, {
    name: 'sallyport_notifications_total',
    help: 'Messages to the webhook of notify.url: sent, failed (given up), dropped (no room, or the end).',
    labels: ['outcome'],
    rows: () => outcomes(counts.notices),
  });
  liveCounter(registry, {
    name: 'sallyport_admin_wrong_tokens_total',
    help: "Requests to the admin side with a token that is nobody's, by the code that they were told.",
    labels: ['code'],
    rows: () => [...counts.strangers.rows()].map(([code, , value]) => row({ code }, value)),
  });
  liveCounter(registry, {
    name: 'sallyport_operator_actions_total',
    help: 'What people did: by API, command, file or signal.',
    labels: ['action', 'outcome'],
    rows: () => [...counts.people.rows()].map(([action, outcome, value]) => row({ action, outcome }, value)),
  });
}

function lockdownRows({ locked, policies }: Counts): Row[] {
  const now = new Set(locked());
  const groups = new Set(['*', ...policies.map(({ group }) => group), ...now]);
  return [...groups].map((group) => row({ group }, now.has(group) ? 1 : 0));
}
