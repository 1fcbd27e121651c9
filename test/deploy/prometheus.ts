/** Prometheus and Alertmanager of a test's own: Debian's programs on loopback, with our files, their data in folders that go away. */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';
import { loose } from '../helpers/compose.ts';
import { ROOT } from '../helpers/import-table.ts';
import { eventually } from '../helpers/world.ts';

export type Prometheus = { readonly url: string; stop(): Promise<void> };

const answer = z.object({
  status: z.string(),
  error: z.string().optional(),
  data: z
    .object({ result: z.array(z.object({ metric: z.record(z.string(), z.string()) }).loose()) })
    .optional(),
});

/** Scrapes `target` as the job `sallyport`, each `seconds`; tells `alertmanager` as the shipped settings do. */
export async function startPrometheus(
  target: string,
  seconds: number,
  alertmanager?: string,
): Promise<Prometheus> {
  const dir = mkdtempSync(path.join(tmpdir(), 'sallyport-prometheus-'));
  const config = {
    global: {
      scrape_interval: `${seconds}s`,
      scrape_timeout: `${seconds}s`,
      evaluation_interval: `${seconds}s`,
    },
    rule_files: [path.join(ROOT, 'deploy', 'prometheus', 'alerts.yaml')],
    scrape_configs: [{ job_name: 'sallyport', static_configs: [{ targets: [target] }] }],
    ...(alertmanager === undefined ? {} : { alerting: alerting(dir, alertmanager) }),
  };
  // YAML is a superset of JSON.
  writeFileSync(path.join(dir, 'prometheus.yaml'), JSON.stringify(config));
  return serve(dir, 'prometheus', [
    `--config.file=${dir}/prometheus.yaml`,
    `--storage.tsdb.path=${dir}/data`,
    '--web.listen-address=127.0.0.1:0',
  ]);
}

/** Alertmanager with the settings that are shipped, and `webhook` in the place of the secret. */
export async function startAlertmanager(webhook: string): Promise<Prometheus> {
  const dir = mkdtempSync(path.join(tmpdir(), 'sallyport-alertmanager-'));
  writeFileSync(path.join(dir, 'webhook'), webhook);
  const shipped = readFileSync(path.join(ROOT, 'deploy/prometheus/alertmanager.yaml'), 'utf8');
  writeFileSync(
    path.join(dir, 'alertmanager.yaml'),
    shipped.replace('/run/secrets/alert_webhook', path.join(dir, 'webhook')),
  );
  return serve(dir, 'prometheus-alertmanager', [
    `--config.file=${dir}/alertmanager.yaml`,
    `--storage.path=${dir}/data`,
    '--cluster.listen-address=',
    '--web.listen-address=127.0.0.1:0',
  ]);
}

/** Runs one of the two until `stop`; then `dir` goes. */
async function serve(dir: string, program: string, args: readonly string[]): Promise<Prometheus> {
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const closed = Promise.withResolvers<void>();
  const listening = Promise.withResolvers<string>();
  let said = '';
  child.stderr.on('data', (bytes: Buffer) => {
    said = (said + bytes.toString()).slice(-20_000);
    const [, at] = /msg="Listening on" address=(\S+)\s/.exec(said) ?? [];
    if (at !== undefined) listening.resolve(at);
  });
  child.once('error', (error) => listening.reject(error));
  child.once('close', () => {
    listening.reject(new Error(`${program} ended:\n${said.slice(-2_000)}`));
    rmSync(dir, { recursive: true, force: true });
    closed.resolve();
  });
  const url = `http://${await listening.promise}`;
  const stop = (): Promise<void> => {
    child.kill('SIGTERM');
    return closed.promise;
  };
  try {
    await ready(url);
  } catch (error) {
    await stop();
    throw error;
  }
  return { url, stop };
}

/** Both listen before they have read what they keep, and answer 503 in plain text until then. */
async function ready(url: string): Promise<void> {
  await eventually(async () => (await fetch(`${url}/-/ready`)).ok || undefined, 30_000);
}

/** `alerting` of the shipped settings, with the file that compose.alertmanager.yaml mounts: only addresses are others. */
function alerting(dir: string, address: string): unknown {
  const folder = path.join(dir, 'targets');
  mkdirSync(folder);
  const targets = readFileSync(path.join(ROOT, 'deploy/compose/alertmanager/targets.yaml'), 'utf8');
  writeFileSync(path.join(folder, 'targets.yaml'), targets.replace('alertmanager:9093', address));
  const text = readFileSync(path.join(ROOT, 'deploy/prometheus/prometheus.yaml'), 'utf8');
  const parsed: unknown = parse(text.replace('/etc/alertmanager-targets', folder));
  return loose(parsed)['alerting'];
}

/** The series of an instant query; throws what Prometheus says is wrong with it. */
export async function ask(url: string, expr: string): Promise<readonly Record<string, unknown>[]> {
  const response = await fetch(`${url}/api/v1/query`, {
    method: 'POST',
    body: new URLSearchParams({ query: expr }),
  });
  const text = await response.text();
  if (!text.startsWith('{')) throw new Error(`${expr}: ${response.status} ${text}`);
  const { data, error } = answer.parse(JSON.parse(text));
  if (data === undefined) throw new Error(`${expr}: ${error ?? ''}`);
  return data.result;
}
