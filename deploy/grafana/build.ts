/**
 * Writes `dashboards/*.json` from `source/`: `npm run dashboards`. With `--check` it changes nothing and ends with 1
 * where a file differs. Grafana's JSON says a panel in 60 lines; the source says it in 10.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { DASHBOARDS } from './source/dashboards.ts';
import { grafanaJson } from './source/grafana.ts';

const FOLDER = path.join(import.meta.dirname, 'dashboards');
const check = process.argv.includes('--check');

mkdirSync(FOLDER, { recursive: true });
for (const [name, dashboard] of DASHBOARDS) {
  const file = path.join(FOLDER, `${name}.json`);
  const text = `${JSON.stringify(grafanaJson(dashboard), null, 2)}\n`;
  if (!check) writeFileSync(file, text);
  else if (readFileSync(file, 'utf8') !== text) {
    process.stderr.write(`${file} is not what source/ says: npm run dashboards\n`);
    process.exitCode = 1;
  }
}
