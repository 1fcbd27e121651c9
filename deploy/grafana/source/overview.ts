/** Is the proxy well: rate, errors, duration, saturation, and which policy is in force. */
import type { Dashboard } from './model.ts';
import {
  CONSOLE,
  decided,
  GROUP,
  INSTANCE,
  NONE_IS_GOOD,
  named,
  ofGroups,
  ofProxies,
  rate,
  series,
  stat,
  table,
} from './parts.ts';

const REQUESTS = ofGroups('sallyport_requests_total');

/** Of requests alone: how long a tunnel is open says nothing of the proxy. */
function duration(quantile: number): string {
  const bucket = ofGroups('sallyport_request_duration_seconds_bucket', 'treat!="tunnel"');
  return `histogram_quantile(${quantile}, ${rate(bucket, 'le')})`;
}

function overhead(quantile: number): string {
  return `histogram_quantile(${quantile}, ${rate(ofProxies('sallyport_overhead_seconds_bucket'), 'le, treat')})`;
}

export const OVERVIEW: Dashboard = {
  uid: 'sallyport-overview',
  title: 'Sallyport: overview',
  description: 'Rate, errors, duration and saturation of the proxies, and the policy in force.',
  variables: [INSTANCE, GROUP, CONSOLE],
  rows: [
    {
      title: 'Now',
      height: 4,
      panels: [
        stat({
          title: 'Proxies up',
          description: 'Proxies that answered the last scrape.',
          unit: 'count',
          width: 4,
          expr: 'sum(up{job="sallyport",instance=~"$instance"})',
          steps: [
            { from: null, color: 'red' },
            { from: 1, color: 'green' },
          ],
        }),
        stat({
          title: 'Requests',
          description: 'Requests and tunnels that end, per second.',
          unit: 'reqps',
          width: 4,
          expr: `sum(rate(${REQUESTS}[$__rate_interval]))`,
        }),
        stat({
          title: 'Refused',
          description: 'Share of decisions that refused, in the chosen time. See "Blocked egress".',
          unit: 'percentunit',
          width: 4,
          expr: `${decided(ofGroups('sallyport_decisions_total', 'verdict="deny"'))} / ${decided(ofGroups('sallyport_decisions_total'))}`,
        }),
        stat({
          title: 'Server errors',
          description:
            'Share of requests whose client got a 5xx, from the proxy or the upstream, in the chosen time.',
          unit: 'percentunit',
          width: 4,
          expr: `(${total5xx()} or vector(0)) / sum(increase(${REQUESTS}[$__range]))`,
          steps: [
            { from: null, color: 'green' },
            { from: 0.01, color: 'yellow' },
            { from: 0.05, color: 'red' },
          ],
        }),
        stat({
          title: 'Open connections',
          description: 'Connections of sandboxes that are open now.',
          unit: 'count',
          width: 4,
          expr: `sum(${ofGroups('sallyport_open_connections')})`,
        }),
        stat({
          title: 'Record failures',
          description:
            'Records that could not be written, were lost, or were tampered with, in the chosen time.',
          unit: 'count',
          width: 4,
          expr: `sum(increase(${ofProxies('sallyport_audit_failures_total')}[$__range]))`,
          steps: NONE_IS_GOOD,
        }),
      ],
    },
    {
      title: 'Rate',
      height: 8,
      panels: [
        series({
          title: 'Requests by group',
          description: 'Requests and tunnels that end, per second.',
          unit: 'reqps',
          width: 8,
          stacked: true,
          queries: [{ expr: rate(REQUESTS, 'group'), legend: '{{group}}' }],
          audit: ['group'],
        }),
        series({
          title: 'Bytes by group',
          description: 'Bytes per second that sandboxes got (down) and sent (up).',
          unit: 'Bps',
          width: 8,
          queries: [
            {
              expr: rate(ofGroups('sallyport_bytes_total'), 'group, direction'),
              legend: '{{group}} {{direction}}',
            },
          ],
          audit: ['group'],
        }),
        series({
          title: 'Open connections',
          description: 'By group and by how they are treated: as a tunnel, intercepted, or plain HTTP.',
          unit: 'short',
          width: 8,
          queries: [
            {
              expr: named(`sum by (group, treat) (${ofGroups('sallyport_open_connections')})`),
              legend: '{{group}} {{treat}}',
            },
          ],
          audit: ['group'],
        }),
      ],
    },
    {
      title: 'Errors',
      height: 8,
      panels: [
        series({
          title: 'Answers by status',
          description:
            'Requests that end per second by the class of the status the client got; `none` is no answer.',
          unit: 'reqps',
          width: 8,
          stacked: true,
          queries: [{ expr: rate(REQUESTS, 'status_class'), legend: '{{status_class}}' }],
        }),
        series({
          title: 'Connections to upstreams',
          description: 'Tried connections per second by what came of them.',
          unit: 'reqps',
          width: 8,
          stacked: true,
          queries: [
            {
              expr: rate(ofProxies('sallyport_upstream_connections_total'), 'outcome'),
              legend: '{{outcome}}',
            },
          ],
        }),
        series({
          title: 'Name lookups',
          description: 'Lookups per second by what came of them. What is in the cache asks nobody.',
          unit: 'reqps',
          width: 8,
          stacked: true,
          queries: [
            { expr: rate(ofProxies('sallyport_dns_lookups_total'), 'outcome'), legend: '{{outcome}}' },
          ],
        }),
      ],
    },
    {
      title: 'Duration',
      height: 8,
      panels: [
        series({
          title: 'Requests, first byte to last',
          description:
            'Of intercepted and plain requests, upstream included. Tunnels are left out: they last as long as their client likes.',
          unit: 's',
          width: 12,
          queries: [
            { expr: duration(0.5), legend: 'half' },
            { expr: duration(0.95), legend: '95 %' },
            { expr: duration(0.99), legend: '99 %' },
          ],
        }),
        series({
          title: 'Time in the proxy itself',
          description: 'Without the upstream: parsing, judging, swapping, writing the record.',
          unit: 's',
          width: 12,
          queries: [
            { expr: overhead(0.5), legend: 'half {{treat}}' },
            { expr: overhead(0.99), legend: '99 % {{treat}}' },
          ],
        }),
      ],
    },
    {
      title: 'Saturation',
      height: 8,
      panels: [
        series({
          title: 'Processor',
          description: 'Cores in use. A worker can use one, and a little for collecting garbage.',
          unit: 'short',
          width: 6,
          queries: [
            { expr: rate(ofProxies('process_cpu_seconds_total'), 'instance'), legend: '{{instance}}' },
          ],
        }),
        series({
          title: 'Event loop lag',
          description:
            'How late one turn in a hundred comes; of several workers the worst. Every request waits for it.',
          unit: 's',
          width: 6,
          queries: [{ expr: ofProxies('nodejs_eventloop_lag_p99_seconds'), legend: '{{instance}}' }],
        }),
        series({
          title: 'Memory',
          description: 'Resident memory of all workers.',
          unit: 'bytes',
          width: 6,
          queries: [{ expr: ofProxies('process_resident_memory_bytes'), legend: '{{instance}}' }],
        }),
        series({
          title: 'File descriptors',
          description: 'Share of what the process may open. A tunnel takes two.',
          unit: 'percentunit',
          width: 6,
          queries: [
            {
              expr: `${ofProxies('process_open_fds')} / ${ofProxies('process_max_fds')}`,
              legend: '{{instance}}',
            },
          ],
        }),
      ],
    },
    {
      title: 'Policy and record',
      height: 7,
      panels: [
        table({
          title: 'Policy in force',
          description: 'Every replica should have the same hash. 1 in the last column means in force.',
          unit: 'count',
          width: 9,
          expr: `max by (instance, group, mode, hash) (${ofGroups('sallyport_policy_info')})`,
          columns: ['instance', 'group', 'mode', 'hash'],
          value: 'In force',
        }),
        series({
          title: 'Loads of the policy files',
          description: 'Per minute. An error keeps the policy before it in force; the log has its line.',
          unit: 'cpm',
          width: 5,
          stacked: true,
          queries: [
            {
              expr: `60 * ${rate(ofProxies('sallyport_policy_reloads_total'), 'outcome')}`,
              legend: '{{outcome}}',
            },
          ],
        }),
        series({
          title: 'Workers',
          description: 'Processes that serve, and that are missing. Nothing where `proxy.workers` is 1.',
          unit: 'count',
          width: 5,
          queries: [{ expr: `sum by (state) (${ofProxies('sallyport_workers')})`, legend: '{{state}}' }],
        }),
        series({
          title: 'Records written',
          description: 'Audit records per second.',
          unit: 'reqps',
          width: 5,
          queries: [
            { expr: rate(ofProxies('sallyport_audit_records_total'), 'instance'), legend: '{{instance}}' },
          ],
        }),
      ],
    },
    {
      title: 'Replicas and export',
      height: 7,
      panels: [
        series({
          title: 'Replicas',
          description:
            'How many see one another by Redis, and how many different policies they have in force: one, but for a moment after a change. Nothing without `state.redis`.',
          unit: 'count',
          width: 8,
          queries: [
            { expr: `max(${ofProxies('sallyport_replicas')})`, legend: 'seen' },
            { expr: `max(${ofProxies('sallyport_replica_policies')})`, legend: 'policies' },
          ],
        }),
        {
          kind: 'timeline',
          title: 'What replicas share',
          description:
            'Whether tokens, locks, approvals and limits were up to date at each. While Redis is away each replica goes on with what it knows.',
          unit: 'count',
          width: 8,
          query: {
            expr: `1 - min by (instance) (${ofProxies('sallyport_replicas_shared')})`,
            legend: '{{instance}}',
          },
          states: ['shared', 'Redis is away'],
        },
        series({
          title: 'Log records and spans',
          description:
            'Sent to the collector of OpenTelemetry per second. What it does not take is lost there, not in the record.',
          unit: 'reqps',
          width: 8,
          stacked: true,
          queries: [
            {
              expr: rate(ofProxies('sallyport_telemetry_total'), 'signal, outcome'),
              legend: '{{signal}} {{outcome}}',
            },
          ],
        }),
      ],
    },
  ],
};

function total5xx(): string {
  return `sum(increase(${ofGroups('sallyport_requests_total', 'status_class="5xx"')}[$__range]))`;
}
