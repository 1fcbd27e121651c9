/** A Prometheus of a test's own: the program of Debian on loopback, with our rules, its data in a folder that goes away. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { z } from 'zod';
import { ROOT } from '../helpers/import-table.ts';

export type Prometheus = { readonly url: string; stop(): Promise<void> };

const answer = z.object({
  status: z.string(),
  error: z.string().optional(),
  data: z
    .object({ result: z.array(z.object({ metric: z.record(z.string(), z.string()) }).loose()) })
    .optional(),
});

/** Scrapes `target` as the job `sallyport`, each `seconds`. */
export async function startPrometheus(target: string, seconds: number): Promise<Prometheus> {
  const dir = mkdtempSync(path.join(tmpdir(), 'sallyport-prometheus-'));
  const config = {
    global: {
      scrape_interval: `${seconds}s`,
      scrape_timeout: `${seconds}s`,
      evaluation_interval: `${seconds}s`,
    },
    rule_files: [path.join(ROOT, 'deploy', 'prometheus', 'alerts.yaml')],
    scrape_configs: [{ job_name: 'sallyport', static_configs: [{ targets: [target] }] }],
  };
  // YAML is a superset of JSON.
  writeFileSync(path.join(dir, 'prometheus.yaml'), JSON.stringify(config));
  const child = spawn(
    'prometheus',
    [
      `--config.file=${dir}/prometheus.yaml`,
      `--storage.tsdb.path=${dir}/data`,
      '--web.listen-address=127.0.0.1:0',
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const closed = Promise.withResolvers<void>();
  const listening = Promise.withResolvers<string>();
  let said = '';
  child.stderr.on('data', (bytes: Buffer) => {
    said = (said + bytes.toString()).slice(-20_000);
    const [, at] = /msg="Listening on" address=(\S+)/.exec(said) ?? [];
    if (at !== undefined) listening.resolve(at);
  });
  child.once('error', (error) => listening.reject(error));
  child.once('close', () => {
    listening.reject(new Error(`prometheus ended:\n${said.slice(-2_000)}`));
    rmSync(dir, { recursive: true, force: true });
    closed.resolve();
  });
  return {
    url: `http://${await listening.promise}`,
    stop: () => {
      child.kill('SIGTERM');
      return closed.promise;
    },
  };
}

/** The series of an instant query; throws what Prometheus says is wrong with it. */
export async function ask(url: string, expr: string): Promise<readonly Record<string, unknown>[]> {
  const response = await fetch(`${url}/api/v1/query`, {
    method: 'POST',
    body: new URLSearchParams({ query: expr }),
  });
  const { data, error } = answer.parse(await response.json());
  if (data === undefined) throw new Error(`${expr}: ${error ?? ''}`);
  return data.result;
}
