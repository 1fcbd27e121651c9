/**
 * The pictures of README.md, made anew: `node test/deploy/drive/pictures.ts [MINUTES]`. Drives a proxy for so long, lets a
 * real Prometheus scrape it, has the dashboards drawn by deploy/grafana/render.ts, and takes a picture of each.
 */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { ROOT } from '../../helpers/import-table.ts';
import { runProgram } from '../../helpers/run-program.ts';
import { drivenProxy } from '../driven-proxy.ts';
import { startPrometheus } from '../prometheus.ts';
import { screenshot } from '../screenshot.ts';

const SCRAPE_S = 5;
const WIDTH = 1400;
const minutes = Number(process.argv[2] ?? 10);
const out = mkdtempSync(path.join(tmpdir(), 'sallyport-pages-'));
const driven = await drivenProxy();
const prometheus = await startPrometheus(driven.target, SCRAPE_S);
try {
  const until = Date.now() + minutes * 60_000;
  while (Date.now() < until) {
    await driven.drive();
    // Waves: busy and quiet minutes.
    await pause(600 + 500 * Math.sin(Date.now() / 40_000));
  }
  const render = path.join(ROOT, 'deploy', 'grafana', 'render.ts');
  const args = [render, '--prometheus', prometheus.url, '--out', out];
  const drawn = await runProgram(
    process.execPath,
    [...args, '--minutes', `${minutes}`, '--scrape', `${SCRAPE_S}`],
    {
      env: {},
      cwd: ROOT,
    },
  );
  if (drawn.status !== 0) throw new Error(drawn.stderr);
  const heights = new Map(
    drawn.stdout
      .trim()
      .split('\n')
      .map((line) => [line.split(' ')[0], Number(line.split(' ')[1])]),
  );
  for (const name of readdirSync(out)) {
    const page = path.join(out, name);
    const picture = path.join(ROOT, 'deploy', 'grafana', 'pictures', name.replace('.html', '.png'));
    await screenshot(page, picture, { width: WIDTH, height: heights.get(page) ?? 1_000 });
    process.stdout.write(`${picture}\n`);
  }
} finally {
  await prometheus.stop();
  await driven.stop();
  rmSync(out, { recursive: true, force: true });
}
