/** Keys: who uses them, how old they are, whether they can be had, and who tried to misuse them. */
import type { Dashboard } from './model.ts';
import {
  CONSOLE,
  GROUP,
  INSTANCE,
  NONE_IS_GOOD,
  ofGroups,
  ofProxies,
  rate,
  series,
  stat,
  table,
  total,
} from './parts.ts';

const MISUSE = 'sallyport_placeholder_misuse_total';
const DAY_S = 86_400;

export const KEYS: Dashboard = {
  uid: 'sallyport-keys',
  title: 'Sallyport: keys',
  description: 'Use, age, misuse and sources of keys. Names only; values are in no metric.',
  variables: [INSTANCE, GROUP, CONSOLE],
  rows: [
    {
      title: 'Now',
      height: 4,
      panels: [
        stat({
          title: 'Real keys stopped',
          description:
            'Requests that carried a real key and were refused, in the chosen time. Even one is an incident.',
          unit: 'count',
          width: 5,
          expr: total(ofGroups(MISUSE, 'reason="secret_leak"')),
          steps: NONE_IS_GOOD,
        }),
        stat({
          title: 'Placeholders misused',
          description:
            'Requests refused because of a placeholder: wrong host, wrong place, not their own, or in the clear.',
          unit: 'count',
          width: 5,
          expr: total(ofGroups(MISUSE, 'reason!="secret_leak"')),
          steps: [
            { from: null, color: 'green' },
            { from: 1, color: 'yellow' },
          ],
        }),
        stat({
          title: 'Keys without a value',
          description: 'Requests that need one of these are refused (`secret_unavailable`).',
          unit: 'count',
          width: 5,
          expr: `count(min by (key) (${ofProxies('sallyport_secret_available')}) == 0) or vector(0)`,
          steps: NONE_IS_GOOD,
        }),
        stat({
          title: 'Oldest key',
          description: 'Since its value changed, or since it was first read where the source does not know.',
          unit: 's',
          width: 5,
          expr: `max(${ofProxies('sallyport_secret_age_seconds')})`,
          steps: ageSteps(),
        }),
        stat({
          title: 'CA ends in',
          description: 'When the interception CA ends, no intercepted host can be reached.',
          unit: 's',
          width: 4,
          expr: `min(${ofProxies('sallyport_ca_not_after_timestamp_seconds')}) - time()`,
          steps: [
            { from: null, color: 'red' },
            { from: 3 * DAY_S, color: 'yellow' },
            { from: 30 * DAY_S, color: 'green' },
          ],
        }),
      ],
    },
    {
      title: 'Use',
      height: 8,
      panels: [
        series({
          title: 'Keys put in',
          description: 'Requests per second in which a placeholder became its key, by group and variable.',
          unit: 'reqps',
          width: 12,
          queries: [
            {
              expr: rate(ofGroups('sallyport_substitutions_total'), 'group, key'),
              legend: '{{group}} {{key}}',
            },
          ],
          audit: ['group'],
        }),
        series({
          title: 'Keys taken out of answers',
          description:
            'Answers per second in which an upstream sent a key back and the sandbox got its placeholder.',
          unit: 'reqps',
          width: 12,
          queries: [
            { expr: rate(ofGroups('sallyport_scrubbed_total'), 'group, key'), legend: '{{group}} {{key}}' },
          ],
          audit: ['group'],
        }),
      ],
    },
    {
      title: 'Misuse and sources',
      height: 8,
      panels: [
        series({
          title: 'Misuse by group and reason',
          description:
            'Refused requests per minute. `secret_leak` is a real key, the others are placeholders.',
          unit: 'cpm',
          width: 12,
          stacked: true,
          queries: [
            { expr: `60 * ${rate(ofGroups(MISUSE), 'group, reason')} > 0`, legend: '{{group}} {{reason}}' },
          ],
          audit: ['group', 'reason'],
        }),
        series({
          title: 'Fetches from sources',
          description: 'Fetches of values per minute by kind of source and outcome.',
          unit: 'cpm',
          width: 12,
          queries: [
            {
              expr: `60 * ${rate(ofProxies('sallyport_secret_fetch_total'), 'source, outcome')}`,
              legend: '{{source}} {{outcome}}',
            },
          ],
        }),
      ],
    },
    {
      title: 'Each key',
      height: 9,
      panels: [
        table({
          title: 'Age',
          description:
            'By `from` of the profiles, the oldest first. Yellow from 60 days, red from 90: rotate.',
          unit: 's',
          width: 12,
          expr: `max by (key) (${ofProxies('sallyport_secret_age_seconds')})`,
          columns: ['key'],
          value: 'Age',
          steps: ageSteps(),
        }),
        table({
          title: 'Has a value',
          description: 'By `from` of the profiles; no, if it lacks on one proxy.',
          unit: 'bool_yes_no',
          width: 6,
          expr: `min by (key) (${ofProxies('sallyport_secret_available')})`,
          columns: ['key'],
          value: 'Has a value',
          steps: [
            { from: null, color: 'red' },
            { from: 1, color: 'green' },
          ],
        }),
        series({
          title: 'Certificates made',
          description: 'Leaf certificates for intercepted hosts, per minute.',
          unit: 'cpm',
          width: 6,
          queries: [
            {
              expr: `60 * ${rate(ofProxies('sallyport_leaf_certificates_total'), 'outcome')}`,
              legend: '{{outcome}}',
            },
          ],
        }),
      ],
    },
  ],
};

function ageSteps() {
  return [
    { from: null, color: 'green' },
    { from: 60 * DAY_S, color: 'yellow' },
    { from: 90 * DAY_S, color: 'red' },
  ] as const;
}
