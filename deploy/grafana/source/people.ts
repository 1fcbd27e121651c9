/** What waits for people and what people did: held requests, decisions, lockdowns. */
import type { Dashboard } from './model.ts';
import {
  CONSOLE,
  decidedByHost,
  GROUP,
  INSTANCE,
  ofGroups,
  ofProxies,
  rate,
  series,
  stat,
  table,
  total,
  totalBy,
} from './parts.ts';

const PENDING = ofGroups('sallyport_approvals_pending');
const DECIDED = 'sallyport_approvals_total';
const LOCKDOWN = 'sallyport_lockdown{instance=~"$instance"}';

export const PEOPLE: Dashboard = {
  uid: 'sallyport-people',
  title: 'Sallyport: people',
  description: 'Requests that wait for a person, what people decided, and lockdowns.',
  variables: [INSTANCE, GROUP, CONSOLE],
  rows: [
    {
      title: 'Now',
      height: 4,
      panels: [
        stat({
          title: 'Waiting',
          description: 'Held requests that nobody has decided.',
          unit: 'count',
          width: 6,
          expr: `sum(${PENDING}) or vector(0)`,
          steps: [
            { from: null, color: 'green' },
            { from: 1, color: 'yellow' },
            { from: 20, color: 'red' },
          ],
        }),
        stat({
          title: 'Decided',
          description: 'Held requests that came to an end, in the chosen time.',
          unit: 'count',
          width: 6,
          expr: `${total(ofGroups(DECIDED))} or vector(0)`,
        }),
        stat({
          title: 'Nobody decided',
          description:
            'Share of held requests that ran out of time. Many: the notification reaches nobody, or the rule asks too much.',
          unit: 'percentunit',
          width: 6,
          expr: `(${total(ofGroups(DECIDED, 'outcome="timeout"'))} or vector(0)) / (${total(ofGroups(DECIDED))} > 0) or vector(0)`,
          steps: [
            { from: null, color: 'green' },
            { from: 0.1, color: 'yellow' },
            { from: 0.5, color: 'red' },
          ],
        }),
        stat({
          title: 'Locked down',
          description: 'Groups that are locked down now; all groups at once (`*`) count as one.',
          unit: 'count',
          width: 6,
          expr: `sum(max by (group) (${LOCKDOWN}))`,
          steps: [
            { from: null, color: 'green' },
            { from: 1, color: 'red' },
          ],
        }),
      ],
    },
    {
      title: 'Approvals',
      height: 8,
      panels: [
        series({
          title: 'Waiting by group',
          description:
            'Held requests that nobody has decided. A line that does not come down is somebody who waits.',
          unit: 'count',
          width: 12,
          queries: [{ expr: `sum by (group) (${PENDING})`, legend: '{{group}}' }],
          audit: ['group'],
        }),
        series({
          title: 'Decided by outcome',
          description: 'Held requests per minute by what came of them.',
          unit: 'cpm',
          width: 12,
          stacked: true,
          queries: [
            {
              expr: `60 * sum by (outcome) (rate(${ofGroups(DECIDED)}[$__rate_interval]))`,
              legend: '{{outcome}}',
            },
          ],
        }),
      ],
    },
    {
      title: 'What people did',
      height: 9,
      panels: [
        table({
          title: 'Let through by a person',
          description:
            'By group and host, the most often first. What is always approved is a rule to be written.',
          unit: 'count',
          width: 8,
          expr: decidedByHost(ofGroups('sallyport_decisions_total', 'verdict="approve"')),
          columns: ['group', 'host'],
          value: 'Approved',
          audit: ['group', 'host'],
        }),
        table({
          title: 'What operators did',
          description:
            'By API, command, file or signal. The record has who, and why. `refused` and `failed`: it did not come to pass.',
          unit: 'count',
          width: 8,
          expr: totalBy(ofProxies('sallyport_operator_actions_total'), 'action, outcome'),
          columns: ['action', 'outcome'],
          value: 'Times',
        }),
        {
          kind: 'timeline',
          title: 'Lockdowns',
          description: 'When groups were locked down; `*` is all of them. The record says by whom and why.',
          unit: 'count',
          width: 8,
          query: { expr: `max by (group) (${LOCKDOWN})`, legend: '{{group}}' },
          states: ['open', 'locked down'],
          audit: ['group'],
        },
      ],
    },
    {
      title: 'Whether people are reached, and who would like to be one',
      height: 7,
      panels: [
        series({
          title: 'Messages to the webhook',
          description:
            'Per minute, of calls that wait and of decisions. `failed` and `dropped`: nobody was told. Nothing where `notify.url` is not set.',
          unit: 'cpm',
          width: 9,
          stacked: true,
          queries: [
            {
              expr: `60 * ${rate(ofProxies('sallyport_notifications_total'), 'outcome')}`,
              legend: '{{outcome}}',
            },
          ],
        }),
        series({
          title: 'Wrong tokens',
          description: "Requests to the admin side per minute with a token that is nobody's.",
          unit: 'cpm',
          width: 9,
          stacked: true,
          queries: [
            {
              expr: `60 * ${rate(ofProxies('sallyport_admin_wrong_tokens_total'), 'code')}`,
              legend: '{{code}}',
            },
          ],
        }),
        stat({
          title: 'The newest lock took',
          description:
            'From the lockdown until all that it cut had ended, at the slowest proxy. A second is what is promised.',
          unit: 's',
          width: 6,
          expr: `max(${ofProxies('sallyport_lockdown_cut_seconds')})`,
          steps: [
            { from: null, color: 'green' },
            { from: 0.5, color: 'yellow' },
            { from: 1, color: 'red' },
          ],
        }),
      ],
    },
  ],
};
