/** Dashboards: what Grafana would load is whole, names what there is, and shows something of a proxy that works. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { fill } from '../../deploy/grafana/source/fill.ts';
import { searchAudit } from '../../src/audit/search.ts';
import { ROOT } from '../helpers/import-table.ts';
import { describeWith, hasNamespaces, hasProgram } from '../helpers/programs.ts';
import { runProgram } from '../helpers/run-program.ts';
import { askOnce } from '../helpers/talk.ts';
import { eventually } from '../helpers/world.ts';
import { type DrivenProxy, drivenProxy } from './driven-proxy.ts';
import { isUnseen, knownMetrics } from './known-metrics.ts';
import { ask, type Prometheus, startPrometheus } from './prometheus.ts';
import { strangers, usesOf } from './promql.ts';
import { screenshot } from './screenshot.ts';

const FOLDER = path.join(ROOT, 'deploy', 'grafana');
const SOURCE = { type: 'prometheus', uid: '$' + '{datasource}' };

const link = z.object({ title: z.string(), url: z.string() });
const target = z.object({ refId: z.string(), expr: z.string(), datasource: z.unknown() });
const panel = z.object({
  id: z.number(),
  type: z.string(),
  title: z.string(),
  description: z.string().optional(),
  datasource: z.unknown().optional(),
  gridPos: z.object({ x: z.number(), y: z.number(), w: z.number(), h: z.number() }),
  targets: z.array(target).default([]),
  fieldConfig: z
    .object({
      defaults: z.object({ unit: z.string().optional(), links: z.array(link) }),
      overrides: z.array(z.unknown()),
    })
    .optional(),
});
const variable = z.object({ name: z.string(), type: z.string(), definition: z.string().default('') });
const file = z.object({
  id: z.null(),
  uid: z.string(),
  title: z.string(),
  schemaVersion: z.number(),
  templating: z.object({ list: z.array(variable) }),
  panels: z.array(panel),
});
type Panel = z.infer<typeof panel>;

const NAMES = readdirSync(path.join(FOLDER, 'dashboards'));
const BOARDS = NAMES.map((name) =>
  file.parse(JSON.parse(readFileSync(path.join(FOLDER, 'dashboards', name), 'utf8'))),
);
const PANELS: readonly (readonly [string, Panel])[] = BOARDS.flatMap(({ title, panels }) =>
  panels.filter(({ type }) => type !== 'row').map((one) => [`${title}: ${one.title}`, one] as const),
);
const QUERIES = PANELS.flatMap(([title, { targets }]) =>
  targets.map(({ refId, expr }) => [`${title} ${refId}`, expr] as const),
);

const labels = z.record(z.string(), z.string());
const samplePair = z.tuple([z.number(), z.string()]);

/** What of a row the audit search is asked for. */
function asksOf(audit: { readonly url: string } | undefined): string[] {
  return [...(audit?.url ?? '').matchAll(/[?&](\w+)=/g)].map(([, name = '']) => name);
}

describe('the files', () => {
  it('are what their source says', () => {
    expect(() => execFileSync(process.execPath, [path.join(FOLDER, 'build.ts'), '--check'])).not.toThrow();
    expect(NAMES.sort()).toEqual(['blocked.json', 'keys.json', 'overview.json', 'people.json']);
  });

  it.each(BOARDS.map((board) => [board.title, board] as const))(
    '%s can be put beside any others: no id, a uid of its own, a data source to choose',
    (_title, board) => {
      expect(board.schemaVersion).toBeGreaterThanOrEqual(39);
      expect(BOARDS.filter(({ uid }) => uid === board.uid)).toHaveLength(1);
      const names = board.templating.list.map(({ name }) => name);
      expect(names).toEqual(expect.arrayContaining(['datasource', 'instance', 'group', 'console']));
      expect(new Set(board.panels.map(({ id }) => id)).size).toBe(board.panels.length);
      for (const { gridPos } of board.panels) expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24);
    },
  );

  it.each(PANELS)(
    '%s has a description, a unit, the chosen source, and a way to the records',
    (_title, one) => {
      expect(one.description?.length).toBeGreaterThan(20);
      expect(one.datasource).toEqual(SOURCE);
      for (const { datasource } of one.targets) expect(datasource).toEqual(SOURCE);
      expect(JSON.stringify(one.fieldConfig)).toContain('"unit"');
      const [audit] = one.fieldConfig?.defaults.links ?? [];
      expect(audit?.url).toMatch(/^\$\{console:raw\}\/#\/audit(\?(group|host|reason)=\$\{__[\w.]+\}(&|$))?/);
    },
  );

  it('use no variable that their dashboard does not have', () => {
    const wrong = BOARDS.flatMap(({ title, templating, panels }) => {
      const text = JSON.stringify([panels, templating]);
      const used = [...text.matchAll(/\$\{?([a-z]\w*)/g)].map(([, name = '']) => name);
      const there = new Set(templating.list.map(({ name }) => name));
      return used.filter((name) => !there.has(name)).map((name) => `${title}: ${name}`);
    });
    expect(wrong).toEqual([]);
  });

  it('are where the provisioning looks for them', () => {
    const read = (name: string): unknown =>
      parse(readFileSync(path.join(FOLDER, 'provisioning', ...name.split('/')), 'utf8'));
    const { providers } = z
      .object({
        apiVersion: z.literal(1),
        providers: z.array(z.object({ options: z.object({ path: z.string() }) })),
      })
      .parse(read('dashboards/sallyport.yaml'));
    expect(providers.map(({ options }) => options.path)).toEqual(['/var/lib/grafana/dashboards']);
    const { datasources } = z
      .object({ apiVersion: z.literal(1), datasources: z.array(z.object({ type: z.string() })) })
      .parse(read('datasources/prometheus.yaml'));
    expect(datasources.map(({ type }) => type)).toEqual(['prometheus']);
  });
});

describeWith(['prometheus'], 'with a Prometheus that scrapes a proxy', () => {
  const times = { range: 60, step: 1, scrape: 1 };
  let driven: DrivenProxy;
  let prometheus: Prometheus;
  let scrape = '';

  beforeAll(async () => {
    driven = await drivenProxy();
    prometheus = await startPrometheus(driven.target, times.scrape);
    // Each row is seen growing: drive, let it be scraped, drive again.
    for (let round = 0; round < 3; round += 1) {
      await driven.drive();
      await scraped();
    }
    scrape = await (await fetch(`http://${driven.target}/metrics`)).text();
  }, 120_000);
  afterAll(async () => {
    await prometheus.stop();
    await driven.stop();
  });

  async function recordsWritten(): Promise<number> {
    const text = await driven.world.metrics();
    return Number(/^sallyport_audit_records_total (\d+)$/m.exec(text)?.[1]);
  }

  async function scraped(): Promise<void> {
    const records = await recordsWritten();
    await eventually(async () => {
      const [seen] = await ask(prometheus.url, `max(sallyport_audit_records_total) >= ${records}`);
      return seen;
    }, 30_000);
  }

  it.each(QUERIES)('%s names only metrics and labels that there are', (_title, expr) => {
    expect(strangers(fill(expr, times), knownMetrics(scrape))).toEqual([]);
  });

  it.each(QUERIES)('%s shows something', async (_title, expr) => {
    const query = fill(expr, times);
    const empty = [...usesOf(query).metrics.keys()].every(isUnseen);
    await eventually(async () => {
      const text = JSON.stringify(await ask(prometheus.url, query));
      if ((text !== '[]' || empty) && !text.includes('NaN')) return text;
      await driven.drive();
      return null;
    }, 30_000);
  });

  it.each(
    BOARDS.flatMap(({ title, templating }) =>
      templating.list.flatMap(({ name, definition }) =>
        definition === '' ? [] : [[title, name, definition] as const],
      ),
    ),
  )('%s offers values for $%s', async (_title, name, definition) => {
    const [, selector = '', label = ''] = /^label_values\((.*), (\w+)\)$/.exec(definition) ?? [];
    expect(label).toBe(name);
    const found = await ask(prometheus.url, fill(`count by (${label}) (${selector})`, times));
    expect(found.length).toBeGreaterThan(0);
  });

  it.each(PANELS.filter(([, { fieldConfig }]) => asksOf(fieldConfig?.defaults.links[0]).length > 0))(
    '%s leads to the records behind each of its rows',
    async (_title, { targets, fieldConfig }) => {
      const names = asksOf(fieldConfig?.defaults.links[0]);
      const auditDir = path.join(driven.world.dir, '.sallyport', 'audit');
      for (const { expr } of targets) {
        // A row for a sum of what has no name left, or of nothing, leads nowhere.
        const rows = (await ask(prometheus.url, fill(expr, times))).map(({ metric, value }) => ({
          metric: labels.parse(metric),
          count: Number(samplePair.parse(value)[1]),
        }));
        for (const { metric, count } of rows) {
          if (count === 0 || metric['host'] === 'other') continue;
          const asked = Object.fromEntries(names.map((name) => [name, metric[name]]));
          const { records } = await searchAudit(auditDir, asked, { limit: 1 });
          expect(records, JSON.stringify(asked)).toHaveLength(1);
        }
      }
    },
  );

  it('counts a host that was refused once, by one sandbox, as once', async () => {
    const top = QUERIES.find(([title]) => title.includes('Top refused hosts'))?.[1] ?? '';
    await askOnce(driven.world.port, 'GET http://once.test/ HTTP/1.1\r\nHost: once.test\r\n\r\n');
    const value = await eventually(async () => {
      const found = await ask(
        prometheus.url,
        `${fill(top, times)} and on (host) sallyport_decisions_total{host="once.test"}`,
      );
      return found[0]?.['value'];
    }, 20_000);
    expect(JSON.stringify(value)).toMatch(/"1"\]$/);
  });

  it('are drawn without Grafana: every panel, and a picture of it', async () => {
    const out = mkdtempSync(path.join(tmpdir(), 'sallyport-pages-'));
    onTestFinished(() => rmSync(out, { recursive: true, force: true }));
    const args = ['--prometheus', prometheus.url, '--out', out, '--minutes', '1', '--scrape', '1'];
    await driven.drive();
    await scraped();
    const { status, stderr } = await runProgram(process.execPath, [path.join(FOLDER, 'render.ts'), ...args], {
      env: {},
      cwd: out,
    });
    expect([status, stderr]).toEqual([0, '']);
    for (const [index, { panels }] of BOARDS.entries()) {
      const page = readFileSync(path.join(out, (NAMES[index] ?? '').replace('.json', '.html')), 'utf8');
      for (const { title } of panels) expect(page).toContain(`>${title}<`);
      expect(page).not.toMatch(/NaN|undefined|Infinity|<script/);
    }
    const blocked = readFileSync(path.join(out, 'blocked.html'), 'utf8');
    expect(blocked).toContain('<td class="">evil.test</td>');
    expect(blocked).not.toContain('No data');
    if (!hasProgram('chromium') || !hasNamespaces()) return;
    const picture = path.join(out, 'blocked.png');
    await screenshot(path.join(out, 'blocked.html'), picture, { width: 1_400, height: 1_260 });
    const png = readFileSync(picture);
    expect(png.subarray(1, 4).toString()).toBe('PNG');
    expect([png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual([1_400, 1_260]);
  }, 90_000);

  it('loads the alerts, and the leak and the key without a value are on their way', async () => {
    const state = await eventually(async () => {
      const found = await ask(
        prometheus.url,
        'ALERTS{alertname=~"SallyportKeyLeak|SallyportKeyUnavailable"}',
      );
      return found.length === 2 ? JSON.stringify(found) : null;
    }, 30_000);
    expect(state).toContain('"group":"agents"');
    expect(state).toContain('"key":"env:GONE"');
  });
});
