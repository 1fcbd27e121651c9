import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { verifyFolder } from '../../../src/audit/read.ts';
import { linesOf, openTrail, parsed, recordMany, stateDir } from './samples.ts';

/** Writes records as fast as it can, and prints the flow of each one that was acknowledged. */
const WRITER = `
import { writeSync } from 'node:fs';
import { openAuditTrail } from ${JSON.stringify(new URL('../../../src/audit/writer.ts', import.meta.url).href)};
import { systemClock } from ${JSON.stringify(new URL('../../../src/base/clock.ts', import.meta.url).href)};
import { decision } from ${JSON.stringify(new URL('./child-events.ts', import.meta.url).href)};
const trail = openAuditTrail({ dir: process.argv[1], sync: 'batch', clock: systemClock, maxFileBytes: 40_000 });
let n = 0;
const next = () => {
  const flow = process.pid + '-' + (n += 1);
  trail.decision(decision(flow), (failed) => {
    if (failed === null) writeSync(1, flow + '\\n');
    next();
  });
};
for (let lane = 0; lane < 8; lane += 1) next();
`;

it('a process killed at any moment loses no acknowledged record, and the next one goes on with a whole chain', async () => {
  const dir = join(stateDir(), 'audit');
  const acknowledged: string[] = [];
  for (let round = 0; round < 5; round += 1) {
    const child = spawn(process.execPath, ['--input-type=module', '-e', WRITER, dir], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let seen = '';
    const wanted = 50 + round * 137;
    child.stdout.on('data', (bytes: Buffer) => {
      seen += bytes.toString('utf8');
      if (seen.length > wanted * 8) child.kill('SIGKILL');
    });
    await once(child, 'close');
    acknowledged.push(...seen.split('\n').slice(0, -1));
  }
  const trail = openTrail(dir);
  await recordMany(trail, 1);
  await trail.close();
  expect(verifyFolder(dir).finding).toBeNull();
  const flows = new Set(linesOf(dir).map((line) => parsed(line)['flow']));
  expect(acknowledged.length).toBeGreaterThan(250);
  expect(acknowledged.filter((flow) => !flows.has(flow))).toEqual([]);
});
