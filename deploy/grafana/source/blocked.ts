/** What sandboxes asked for and did not get: how often, why, where to, and when last. */
import type { Dashboard, Variable } from './model.ts';
import {
  CONSOLE,
  decided,
  decidedByHost,
  GROUP,
  INSTANCE,
  NONE_IS_GOOD,
  named,
  ofGroups,
  perMinute,
  series,
  stat,
  table,
} from './parts.ts';

const REASON: Variable = {
  kind: 'label',
  name: 'reason',
  title: 'Reason',
  values: 'label_values(sallyport_decisions_total{verdict=~"deny|would_deny",group=~"$group"}, reason)',
};
const HOST: Variable = {
  kind: 'label',
  name: 'host',
  title: 'Host',
  values: 'label_values(sallyport_decisions_total{verdict=~"deny|would_deny",group=~"$group"}, host)',
};

function decisions(verdict: string, more = 'reason=~"$reason",host=~"$host"'): string {
  return ofGroups('sallyport_decisions_total', `verdict="${verdict}"${more === '' ? '' : `,${more}`}`);
}

const LIMITS = 'reason=~"budget_spent|rate_limited|too_many_connections|overloaded"';
const NEWEST = ofGroups('sallyport_refused_last_timestamp_seconds', 'reason=~"$reason",host=~"$host"');

export const BLOCKED: Dashboard = {
  uid: 'sallyport-blocked',
  title: 'Sallyport: blocked egress',
  description: 'What sandboxes asked for and did not get.',
  variables: [INSTANCE, GROUP, REASON, HOST, CONSOLE],
  rows: [
    {
      title: 'In the chosen time',
      height: 4,
      panels: [
        stat({
          title: 'Refused',
          description: 'Decisions that refused, of the chosen groups, reasons and hosts.',
          unit: 'count',
          width: 5,
          expr: decided(decisions('deny')),
        }),
        stat({
          title: 'Share of all decisions',
          description:
            'Refused decisions among all. An agent that does its work has few; a new dependency or a search for a way out shows here.',
          unit: 'percentunit',
          width: 5,
          expr: `${decided(decisions('deny', ''))} / ${decided(ofGroups('sallyport_decisions_total'))}`,
          steps: [
            { from: null, color: 'green' },
            { from: 0.1, color: 'yellow' },
            { from: 0.5, color: 'red' },
          ],
        }),
        stat({
          title: 'Hosts refused',
          description:
            'Different hosts. Each proxy knows the 50 newest of each group, so this is at least so many.',
          unit: 'count',
          width: 5,
          expr: `count(count by (host) (${NEWEST} > time() - $__range_s))`,
        }),
        stat({
          title: 'Would be refused',
          description: 'What groups in monitor mode were let through with, and enforce mode would refuse.',
          unit: 'count',
          width: 5,
          expr: decided(decisions('would_deny')),
        }),
        stat({
          title: 'Unknown clients',
          description: 'Refused requests of clients that no policy knows by address or token.',
          unit: 'count',
          width: 4,
          expr: 'sum(increase((sum by (instance) (sallyport_decisions_total{instance=~"$instance",group="",verdict="deny"}))[$__range:15s]))',
          steps: NONE_IS_GOOD,
        }),
      ],
    },
    {
      title: 'Over time',
      height: 8,
      panels: [
        series({
          title: 'Refused by group',
          description: 'Refusals per minute. `nobody`: clients that no policy knows.',
          unit: 'cpm',
          width: 12,
          stacked: true,
          queries: [{ expr: perMinute(decisions('deny'), 'group'), legend: '{{group}}' }],
          audit: ['group'],
        }),
        series({
          title: 'Refused by reason',
          description: 'Refusals per minute. The table of refusals in README.md says what each reason means.',
          unit: 'cpm',
          width: 12,
          stacked: true,
          queries: [{ expr: perMinute(decisions('deny'), 'reason'), legend: '{{reason}}' }],
          audit: ['reason'],
        }),
      ],
    },
    {
      title: 'Hosts',
      height: 11,
      panels: [
        table({
          title: 'Top refused hosts',
          description:
            'By group, host and reason, the most refused first. Hosts beyond the 1,000 newest of a group are counted as `other`. A row leads to its records.',
          unit: 'count',
          width: 12,
          expr: decidedByHost(decisions('deny')),
          columns: ['group', 'host', 'reason'],
          value: 'Refused',
          audit: ['group', 'host'],
        }),
        table({
          title: 'Newest refused hosts',
          description: 'When each host was refused last, newest first, with the reason of that time.',
          unit: 'dateTimeFromNow',
          width: 12,
          expr: named(`1000 * topk(100, max by (group, host, reason) (${NEWEST} > time() - $__range_s))`),
          columns: ['group', 'host', 'reason'],
          value: 'Last refused',
          audit: ['group', 'host'],
        }),
      ],
    },
    {
      title: 'Limits, and groups on trial',
      height: 8,
      panels: [
        series({
          title: 'Refused by limits',
          description:
            'Refusals per minute because a group used up what its `limits` allow, or its share of the process (`overloaded`).',
          unit: 'cpm',
          width: 12,
          stacked: true,
          queries: [
            { expr: perMinute(decisions('deny', LIMITS), 'group, reason'), legend: '{{group}} {{reason}}' },
          ],
          audit: ['group', 'reason'],
        }),
        table({
          title: 'Would be refused in enforce mode',
          description:
            'What groups in monitor mode reached although no rule allows it: what to write rules for.',
          unit: 'count',
          width: 12,
          expr: decidedByHost(decisions('would_deny')),
          columns: ['group', 'host', 'reason'],
          value: 'Let through',
          audit: ['group', 'host'],
        }),
      ],
    },
  ],
};
