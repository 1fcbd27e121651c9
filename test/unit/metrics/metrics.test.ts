import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { MAX_NEWEST_HOSTS, MAX_REFUSED_HOSTS } from '../../../src/metrics/decisions.ts';
import { createMetrics, type Metrics } from '../../../src/metrics/metrics.ts';
import { decision, end, heldClock } from '../audit/samples.ts';

function fresh(): Metrics {
  return createMetrics({ version: '1.2.3', commit: 'abc', clock: heldClock(5000) });
}

/** The samples of one metric: label text -> value. */
async function samples(metrics: Metrics, name: string): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  for (const line of (await metrics.render()).split('\n')) {
    const [, labels = '', value] = new RegExp(`^${name}(?:\\{(.*)\\})? (\\S+)$`).exec(line) ?? [];
    if (value === undefined) continue;
    if (found.has(labels)) throw new Error(`twice: ${line}`);
    found.set(labels, Number(value));
  }
  return found;
}

function sum(values: Iterable<number>): number {
  return [...values].reduce((a, b) => a + b, 0);
}

const refused = { verdict: 'deny', reason: 'host_not_allowed', hostLabel: null, rule: null } as const;

describe('decisions', () => {
  it('are counted by group, verdict, reason and the pattern of the rule', async () => {
    const metrics = fresh();
    metrics.observe(decision());
    metrics.observe(decision({ hostLabel: '*.example.com' }));
    metrics.observe(decision());
    expect(await samples(metrics, 'sallyport_decisions_total')).toEqual(
      new Map([
        ['group="ai-agents",verdict="allow",reason="",host="api.openai.com"', 2],
        ['group="ai-agents",verdict="allow",reason="",host="*.example.com"', 1],
      ]),
    );
  });

  it('that refuse carry the host, and an unknown client has the empty group', async () => {
    const metrics = fresh();
    metrics.observe(decision({ ...refused, host: 'evil.example', group: null }));
    metrics.observe(decision({ ...refused, host: null, reason: 'bad_request' }));
    const found = await samples(metrics, 'sallyport_decisions_total');
    expect(found.get('group="",verdict="deny",reason="host_not_allowed",host="evil.example"')).toBe(1);
    expect(found.get('group="ai-agents",verdict="deny",reason="bad_request",host=""')).toBe(1);
  });

  it('keep their sum when hosts drop out, and no host label is ever lower than before', async () => {
    const metrics = fresh();
    const hosts = MAX_REFUSED_HOSTS * 2 + 5;
    for (let i = 0; i < hosts; i += 1) metrics.observe(decision({ ...refused, host: `h${i}.example` }));
    const found = await samples(metrics, 'sallyport_decisions_total');
    expect(found.size).toBe(MAX_REFUSED_HOSTS + 1);
    expect(sum(found.values())).toBe(hosts);
    const other = 'group="ai-agents",verdict="deny",reason="host_not_allowed",host="other"';
    expect(found.get(other)).toBe(hosts - MAX_REFUSED_HOSTS);
    metrics.observe(decision({ ...refused, host: 'h0.example' }));
    expect((await samples(metrics, 'sallyport_decisions_total')).get(other)).toBe(
      hosts - MAX_REFUSED_HOSTS + 1,
    );
  });

  it('give one series for a host that is called "other" or is a pattern as well', async () => {
    const metrics = fresh();
    metrics.observe(decision({ ...refused, host: 'other' }));
    metrics.observe(decision({ ...refused, host: 'api.openai.com', verdict: 'would_deny' }));
    metrics.observe(decision({ verdict: 'would_deny', reason: 'host_not_allowed' }));
    const found = await samples(metrics, 'sallyport_decisions_total');
    expect([...found.values()].toSorted((a, b) => a - b)).toEqual([1, 2]);
  });

  it('list the refused hosts, the most refused first', () => {
    const metrics = fresh();
    metrics.observe(decision({ ...refused, host: 'a.example' }));
    for (let i = 0; i < 3; i += 1) metrics.observe(decision({ ...refused, host: 'b.example' }));
    metrics.observe(decision());
    expect(metrics.blocked()).toEqual([
      { group: 'ai-agents', host: 'b.example', reason: 'host_not_allowed', count: 3, last: 5000 },
      { group: 'ai-agents', host: 'a.example', reason: 'host_not_allowed', count: 1, last: 5000 },
    ]);
    expect(metrics.blocked(1)).toHaveLength(1);
  });

  it('do not take what a sandbox asks the proxy itself for a refusal', async () => {
    const metrics = fresh();
    metrics.observe(decision({ host: null, hostLabel: null, rule: null }));
    expect(metrics.blocked()).toEqual([]);
    expect((await samples(metrics, 'sallyport_refused_last_timestamp_seconds')).size).toBe(0);
    expect(await samples(metrics, 'sallyport_decisions_total')).toEqual(
      new Map([['group="ai-agents",verdict="allow",reason="",host=""', 1]]),
    );
  });

  it('tell when a host was refused last and why, of the newest hosts', async () => {
    const clock = heldClock(7_000);
    const metrics = createMetrics({ version: '0', clock });
    for (let i = 0; i <= MAX_NEWEST_HOSTS; i += 1) {
      clock.time += 1_000;
      metrics.observe(decision({ ...refused, host: `h${i}.example` }));
    }
    metrics.observe(decision({ ...refused, host: 'h1.example', reason: 'method_not_allowed' }));
    const name = 'sallyport_refused_last_timestamp_seconds';
    const found = await samples(metrics, name);
    expect(found.size).toBe(MAX_NEWEST_HOSTS);
    const at = (host: string, reason: string): number | undefined =>
      found.get(`group="ai-agents",host="${host}",reason="${reason}"`);
    expect(at('h0.example', 'host_not_allowed')).toBeUndefined();
    expect(at('h1.example', 'host_not_allowed')).toBeUndefined();
    expect(at('h1.example', 'method_not_allowed')).toBe(8 + MAX_NEWEST_HOSTS);
    expect(at('h2.example', 'host_not_allowed')).toBe(10);
  });

  it('escape what a host could break the text with', async () => {
    const metrics = fresh();
    metrics.observe(decision({ ...refused, host: 'a"b\\c\nd' }));
    const line = (await metrics.render()).split('\n').find((text) => text.includes('verdict="deny"'));
    expect(line).toContain('host="a\\"b\\\\c\\nd"} 1');
  });
});

const ENDS: readonly (readonly [string, Parameters<typeof end>[0], string | null])[] = [
  ['an intercepted request', {}, 'treat="intercept",status_class="2xx"'],
  ['a tunnel', { stage: 'connect', treat: 'tunnel' }, 'treat="tunnel",status_class="2xx"'],
  [
    'a plain request',
    { treat: 'plain', via: 'absolute-form', status: 404 },
    'treat="plain",status_class="4xx"',
  ],
  ['not the connection around intercepted requests', { stage: 'connect' }, null],
  [
    'a connection that interception refused',
    { stage: 'connect', ended: 'refused', reason: 'sni_mismatch', status: 421 },
    'treat="intercept",status_class="4xx"',
  ],
  [
    'a refused CONNECT as the tunnel it asked for',
    { stage: 'connect', treat: null, ended: 'refused', reason: 'host_not_allowed', status: 403 },
    'treat="tunnel",status_class="4xx"',
  ],
  [
    'a malformed request as plain',
    { treat: null, via: null, ended: 'refused', reason: 'bad_request', status: 400 },
    'treat="plain",status_class="4xx"',
  ],
  [
    'a request refused inside a tunnel as intercepted',
    { treat: null, ended: 'refused', reason: 'bad_request', status: 400 },
    'treat="intercept",status_class="4xx"',
  ],
  [
    'a request without an answer',
    { status: 0, ended: 'client_abort' },
    'treat="intercept",status_class="none"',
  ],
];

describe('ends', () => {
  it.each(ENDS)('count %s', async (_title, over, labels) => {
    const metrics = fresh();
    metrics.observe(end(over));
    const found = await samples(metrics, 'sallyport_requests_total');
    expect(found).toEqual(new Map(labels === null ? [] : [[`group="ai-agents",${labels}`, 1]]));
    const bytes = await samples(metrics, 'sallyport_bytes_total');
    expect(sum(bytes.values())).toBe(labels === null ? 0 : 30);
  });

  it('fill cumulative histograms of duration and overhead', async () => {
    const metrics = fresh();
    for (const ms of [1, 5, 5.001, 100, 1e9]) metrics.observe(end({ ms, overheadMs: 0.1 }));
    metrics.observe(end({ ms: 10, overheadMs: null }));
    const buckets = await samples(metrics, 'sallyport_request_duration_seconds_bucket');
    const at = (le: string): number | undefined =>
      buckets.get(`le="${le}",group="ai-agents",treat="intercept"`);
    expect([at('0.005'), at('0.01'), at('0.1'), at('7200'), at('+Inf')]).toEqual([2, 4, 5, 5, 6]);
    const labels = 'group="ai-agents",treat="intercept"';
    expect((await samples(metrics, 'sallyport_request_duration_seconds_count')).get(labels)).toBe(6);
    const total = (await samples(metrics, 'sallyport_request_duration_seconds_sum')).get(labels);
    expect(total).toBeCloseTo(1_000_000.121001, 6);
    expect((await samples(metrics, 'sallyport_overhead_seconds_count')).get('treat="intercept"')).toBe(5);
  });

  it('count keys that were swapped and scrubbed, by name, but not in a refused request', async () => {
    const metrics = fresh();
    metrics.observe(end({ keys: ['A', 'B'], scrubbed: ['B'] }));
    metrics.observe(end({ keys: ['A'], ended: 'refused', reason: 'placeholder_wrong_host' }));
    expect(await samples(metrics, 'sallyport_substitutions_total')).toEqual(
      new Map([
        ['group="ai-agents",key="A"', 1],
        ['group="ai-agents",key="B"', 1],
      ]),
    );
    expect(await samples(metrics, 'sallyport_scrubbed_total')).toEqual(
      new Map([['group="ai-agents",key="B"', 1]]),
    );
    const misuse = await samples(metrics, 'sallyport_placeholder_misuse_total');
    expect([...misuse].filter(([, value]) => value > 0)).toEqual([
      ['group="ai-agents",reason="placeholder_wrong_host"', 1],
    ]);
    expect(misuse.size).toBe(5);
  });
});

describe('a group in force', () => {
  it('is counted from zero, so that its first refusal and its first leak are an increase', async () => {
    const metrics = fresh();
    const groups = [
      { group: 'g', hash: 'h', mode: 'enforce' },
      { group: 'm', hash: 'h', mode: 'monitor' },
    ] as const;
    metrics.policyInfo(groups);
    expect(await samples(metrics, 'sallyport_decisions_total')).toEqual(
      new Map([
        ['group="g",verdict="deny",reason="host_not_allowed",host="other"', 0],
        ['group="m",verdict="would_deny",reason="host_not_allowed",host="other"', 0],
      ]),
    );
    const leak = 'group="g",reason="secret_leak"';
    expect((await samples(metrics, 'sallyport_placeholder_misuse_total')).get(leak)).toBe(0);
    metrics.observe(end({ group: 'g', ended: 'refused', reason: 'secret_leak' }));
    metrics.policyInfo(groups);
    expect((await samples(metrics, 'sallyport_placeholder_misuse_total')).get(leak)).toBe(1);
  });
});

describe('what leaves no record', () => {
  it('is counted by its own calls', async () => {
    const metrics = fresh();
    metrics.opened('g', 'tunnel');
    metrics.opened('g', 'tunnel');
    metrics.closed('g', 'tunnel');
    metrics.dnsLookup('ok');
    metrics.upstreamConnection('reused');
    metrics.leafCertificate();
    metrics.policyReload('error');
    metrics.policyInfo([{ group: 'g', hash: 'h', mode: 'monitor' }]);
    metrics.auditFailure();
    metrics.secretFetch('vault', 'ok');
    metrics.secretAges(() => [
      { key: 'K', seconds: 12, available: true },
      { key: 'GONE', seconds: 12, available: false },
    ]);
    const text = await metrics.render();
    for (const line of [
      'sallyport_open_connections{group="g",treat="tunnel"} 1',
      'sallyport_dns_lookups_total{outcome="ok"} 1',
      'sallyport_upstream_connections_total{outcome="reused"} 1',
      'sallyport_leaf_certificates_total{outcome="ok"} 1',
      'sallyport_policy_reloads_total{outcome="ok"} 0',
      'sallyport_policy_reloads_total{outcome="error"} 1',
      'sallyport_policy_info{group="g",hash="h",mode="monitor"} 1',
      'sallyport_audit_failures_total 1',
      'sallyport_audit_records_total 0',
      'sallyport_secret_fetch_total{source="vault",outcome="ok"} 1',
      'sallyport_secret_fetch_total{source="vault",outcome="error"} 0',
      'sallyport_secret_age_seconds{key="K"} 12',
      'sallyport_secret_available{key="K"} 1',
      'sallyport_secret_available{key="GONE"} 0',
      'sallyport_policy_last_reload_successful 0',
      'sallyport_lockdown{group="*"} 0',
      'sallyport_build_info{version="1.2.3",commit="abc"} 1',
    ]) {
      expect(text.split('\n')).toContain(line);
    }
    expect(text).not.toContain('sallyport_secret_age_seconds{key="GONE"}');
  });

  it('is forgotten when it is replaced', async () => {
    const metrics = fresh();
    metrics.policyInfo([{ group: 'old', hash: 'h', mode: 'enforce' }]);
    await metrics.render();
    metrics.policyInfo([{ group: 'new', hash: 'h', mode: 'enforce' }]);
    expect([...(await samples(metrics, 'sallyport_policy_info')).keys()]).toEqual([
      'group="new",hash="h",mode="enforce"',
    ]);
  });
});

describe('what people and processes do', () => {
  it('is counted by action and outcome, never by name', async () => {
    const metrics = fresh();
    const event = {
      kind: 'operator',
      action: 'lockdown.on',
      operator: 'alice',
      origin: 'api',
      client: '127.0.0.1',
      group: 'g',
      subject: null,
      outcome: 'done',
      why: 'a reason',
      actedAt: 0,
    } as const;
    metrics.observe(event);
    metrics.observe({ ...event, outcome: 'failed' });
    metrics.observe(event);
    expect(await samples(metrics, 'sallyport_operator_actions_total')).toEqual(
      new Map([
        ['action="lockdown.on",outcome="done"', 2],
        ['action="lockdown.on",outcome="failed"', 1],
      ]),
    );
    expect(await metrics.render()).not.toMatch(/alice|a reason/);
  });

  it('shows workers where there are any, and leaves out what it cannot know', async () => {
    const metrics = fresh();
    const unknown = ['sallyport_workers', 'sallyport_ca_not_after_timestamp_seconds'];
    for (const name of [...unknown, 'sallyport_policy_last_reload_successful']) {
      expect((await samples(metrics, name)).size, name).toBe(0);
    }
    metrics.workers(() => ({ ready: 3, missing: 1 }));
    expect(await samples(metrics, 'sallyport_workers')).toEqual(
      new Map([
        ['state="ready"', 3],
        ['state="missing"', 1],
      ]),
    );
  });
});

describe('the text', () => {
  it('counts every event as one record, however many scrapes there are', async () => {
    const metrics = fresh();
    for (let i = 0; i < 10; i += 1) metrics.observe(i % 2 === 0 ? decision() : end());
    await metrics.render();
    expect((await samples(metrics, 'sallyport_audit_records_total')).get('')).toBe(10);
    expect(sum((await samples(metrics, 'sallyport_decisions_total')).values())).toBe(5);
    expect(sum((await samples(metrics, 'sallyport_requests_total')).values())).toBe(5);
  });

  it('has process metrics, and no gauge whose name ends like a counter', async () => {
    const text = await fresh().render();
    expect(text).toContain('process_cpu_seconds_total');
    expect(text).toContain('nodejs_heap_size_total_bytes');
    for (const [, name, type] of text.matchAll(/^# TYPE (\S+) (\S+)$/gm)) {
      expect([name, type === 'counter']).toEqual([name, name?.endsWith('_total')]);
    }
  });

  const promtool = spawnSync('promtool', ['--version']).error === undefined;
  it.skipIf(!promtool)(
    'passes promtool check metrics (skipped where promtool is not installed)',
    async () => {
      const metrics = fresh();
      metrics.observe(decision());
      metrics.observe(end());
      const checked = spawnSync('promtool', ['check', 'metrics'], {
        input: await metrics.render(),
        encoding: 'utf8',
      });
      expect([checked.status, checked.stderr]).toEqual([0, '']);
    },
  );
});
