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
import { askOnce } from '../../helpers/talk.ts';
import { drivenProxy } from '../driven-proxy.ts';
import { startPrometheus } from '../prometheus.ts';
import { screenshot } from '../screenshot.ts';

const SCRAPE_S = 5;
const WIDTH = 1400;
const minutes = Number(process.argv[2] ?? 10);
const out = mkdtempSync(path.join(tmpdir(), 'sallyport-pages-'));
const driven = await drivenProxy();
const prometheus = await startPrometheus(driven.target, SCRAPE_S);

/** What agents ask for without being asked to: the one often, the other once. */
const ASIDE = [
  'telemetry.example',
  'stats.example',
  'pastebin.example',
  'cdn.example',
  'files.example',
  'x.y.example',
];

async function aside(): Promise<void> {
  const pick = Math.floor(ASIDE.length * Math.random() ** 2);
  const host = ASIDE[pick] ?? 'telemetry.example';
  const localAddress = Math.random() < 0.7 ? '127.0.0.1' : '127.0.0.2';
  await askOnce(driven.world.port, `GET http://${host}/ HTTP/1.1\r\nHost: ${host}\r\n\r\n`, { localAddress });
}

try {
  const { lockdown } = driven.world.proxy.parts;
  const from = Date.now();
  const until = from + minutes * 60_000;
  while (Date.now() < until) {
    const gone = (Date.now() - from) / (until - from);
    if (gone > 0.4 && gone < 0.6)
      await lockdown.lock({ group: 'busy', by: 'operator', reason: 'a look at it' });
    else await lockdown.unlock('busy');
    await driven.drive();
    for (let n = 0; n < 6 * Math.random() ** 2; n += 1) await aside();
    // Waves: busy and quiet minutes.
    await pause(1_200 + 1_000 * Math.sin(Date.now() / 40_000));
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
    // A third of the size, for those who have it.
    const small = ['--force', '--ext', '.png', '64', picture];
    await runProgram('pngquant', small, { env: { PATH: process.env['PATH'] ?? '' }, cwd: ROOT }).catch(
      () => {},
    );
    process.stdout.write(`${picture}\n`);
  }
} finally {
  await prometheus.stop();
  await driven.stop();
  rmSync(out, { recursive: true, force: true });
}
