/** Alerts and their runbooks: what Prometheus would load is sound, fires, clears, and leads to a page that helps. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { ROOT, tableBelow } from '../helpers/import-table.ts';
import { describeWith, hasProgram } from '../helpers/programs.ts';
import { eventually } from '../helpers/world.ts';
import { type DrivenProxy, drivenProxy } from './driven-proxy.ts';
import { knownMetrics } from './known-metrics.ts';
import { strangers } from './promql.ts';

const FOLDER = path.join(ROOT, 'deploy', 'prometheus');
const RUNBOOKS = path.join(ROOT, 'deploy', 'runbooks');

const rulesFile = z.strictObject({
  groups: z.array(
    z.strictObject({
      name: z.string(),
      rules: z.array(
        z.union([
          z.strictObject({ record: z.string(), expr: z.string() }),
          z.strictObject({
            alert: z.string(),
            expr: z.string(),
            for: z.string().optional(),
            labels: z.strictObject({ severity: z.enum(['critical', 'warning']) }),
            annotations: z.strictObject({
              summary: z.string(),
              description: z.string(),
              runbook_url: z.string(),
            }),
          }),
        ]),
      ),
    }),
  ),
});
const testsFile = z.object({
  tests: z.array(
    z.object({
      alert_rule_test: z.array(
        z.object({
          eval_time: z.string(),
          alertname: z.string(),
          exp_alerts: z.array(z.object({ exp_labels: z.record(z.string(), z.string()) })).optional(),
        }),
      ),
    }),
  ),
});

function read(name: string): unknown {
  return parse(readFileSync(path.join(FOLDER, name), 'utf8'));
}

const RULES = rulesFile.parse(read('alerts.yaml')).groups.flatMap(({ rules }) => rules);
const ALERTS = RULES.flatMap((rule) => ('alert' in rule ? rule : []));
const PAGES = readdirSync(RUNBOOKS).filter((name) => name !== 'README.md');

describeWith(['promtool'], 'promtool', () => {
  const promtool = (...args: string[]): void => {
    const { status, stdout, stderr } = spawnSync('promtool', args, { cwd: FOLDER, encoding: 'utf8' });
    expect([status, status === 0 ? '' : stdout + stderr]).toEqual([0, '']);
  };
  it('takes the rules', () => promtool('check', 'rules', 'alerts.yaml'));
  it('takes the settings of Prometheus', () => promtool('check', 'config', 'prometheus.yaml'));
  it('sees each alert fire and clear on made-up series', () => promtool('test', 'rules', 'alerts.test.yaml'));
});

describe('the made-up series', () => {
  const { tests } = testsFile.parse(read('alerts.test.yaml'));

  it.each(ALERTS.map(({ alert, labels }) => [alert, labels.severity]))(
    'let %s (%s) fire, and clear after that',
    (alert, severity) => {
      const cleared = tests.filter(({ alert_rule_test: steps }) => {
        const own = steps.filter(({ alertname }) => alertname === alert);
        const fires = own.findIndex(({ exp_alerts: list = [] }) =>
          list.some(({ exp_labels: labels }) => labels['severity'] === severity),
        );
        const last = own.at(-1);
        return fires >= 0 && last !== undefined && (last.exp_alerts ?? []).length === 0;
      });
      expect(cleared.length).toBeGreaterThan(0);
    },
  );
});

describe('runbooks', () => {
  it.each(ALERTS.map(({ alert, annotations }) => [alert, annotations.runbook_url]))(
    '%s leads to a page that names it: %s',
    (alert, url) => {
      expect(path.dirname(url)).toBe('deploy/runbooks');
      expect(existsSync(path.join(ROOT, url))).toBe(true);
      expect(readFileSync(path.join(ROOT, url), 'utf8')).toContain(`\`${alert}\``);
    },
  );

  it.each(PAGES)(
    '%s is of alerts that there are, and says what it means, what to do, when it clears',
    (name) => {
      const page = readFileSync(path.join(RUNBOOKS, name), 'utf8');
      const named = [...page.matchAll(/`(Sallyport[A-Z]\w+)`/g)].map(([, alert = '']) => alert);
      expect(ALERTS.map(({ alert }) => alert)).toEqual(expect.arrayContaining(named));
      expect(ALERTS.map(({ annotations }) => path.basename(annotations.runbook_url))).toContain(name);
      const headings = [...page.matchAll(/^## (.*)$/gm)].map(([, text]) => text);
      expect(headings).toEqual(['What it means', 'First look', 'What to do', 'When it clears']);
    },
  );
});

describe('commands of the runbooks', () => {
  const known = tableBelow(readFileSync(path.join(ROOT, 'README.md'), 'utf8'), '### Commands').flatMap(
    ([cell = '']) => cell.replaceAll('`', '').split(', '),
  );

  it.each(PAGES)('in %s are those of the program', (name) => {
    const page = readFileSync(path.join(RUNBOOKS, name), 'utf8');
    const used = [...page.matchAll(/(?<![\w/.-])sallyport ((?:[a-z]+)(?: [a-z]+)?)/g)].map(
      ([, words = '']) => words,
    );
    const strange = used.filter(
      (words) => !known.includes(words) && !known.includes(words.split(' ')[0] ?? ''),
    );
    expect(strange).toEqual([]);
  });
});

describe('rules', () => {
  let driven: DrivenProxy;
  const scraped = async (): Promise<string> => (await fetch(`http://${driven.target}/metrics`)).text();
  beforeAll(async () => {
    driven = await drivenProxy();
    await driven.drive();
  });
  afterAll(() => driven.stop());

  it('name only metrics and labels that a live proxy has', async () => {
    let wrong: readonly string[] = [];
    // Some are counted after the answer.
    await eventually(async () => {
      const known = knownMetrics(await scraped());
      for (const rule of RULES) if ('record' in rule) known.set(rule.record, new Set(['group']));
      wrong = RULES.flatMap((rule) => strangers(rule.expr, known));
      return wrong.length === 0;
    }).catch(() => undefined);
    expect(wrong).toEqual([]);
  });

  it.skipIf(!hasProgram('promtool'))(
    'are about a scrape that promtool finds nothing wrong with',
    async () => {
      const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], {
        input: await scraped(),
        encoding: 'utf8',
      });
      expect([status, stdout, stderr]).toEqual([0, '', '']);
    },
  );
});
