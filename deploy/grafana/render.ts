/**
 * Draws the dashboards without Grafana: asks a Prometheus every query of every panel and writes a page for each.
 *   node deploy/grafana/render.ts --prometheus http://127.0.0.1:9090 --out /tmp/pages [--minutes 60] [--scrape 15]
 * For a look where no Grafana is, and for the tests. The files Grafana loads are `dashboards/*.json`.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { pageOf } from './render/page.ts';
import { DASHBOARDS } from './source/dashboards.ts';

/** Points of a line. */
const POINTS = 90;

const { values } = parseArgs({
  options: {
    prometheus: { type: 'string' },
    out: { type: 'string' },
    minutes: { type: 'string', default: '60' },
    scrape: { type: 'string', default: '15' },
  },
});
const { prometheus: url, out } = values;
if (url === undefined || out === undefined) throw new Error('--prometheus URL and --out FOLDER are needed');
const range = Math.round(Number(values.minutes) * 60);
const scrape = Number(values.scrape);
const times = { range, scrape, step: Math.max(scrape, Math.ceil(range / POINTS)) };
const now = Math.floor(Date.now() / 1000);

mkdirSync(out, { recursive: true });
for (const [name, dashboard] of DASHBOARDS) {
  const { html, height } = await pageOf(dashboard, { url, times, now });
  const file = path.join(out, `${name}.html`);
  writeFileSync(file, html);
  process.stdout.write(`${file} ${height}\n`);
}
