/** `start` as a process of its own: what its signals do to work that is open. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { jsonLines } from '../helpers/json.ts';
import { policy, tunnelled } from '../helpers/scene.ts';
import { connect } from '../helpers/talk.ts';
import { rawUpstream } from '../helpers/upstream.ts';
import { eventually } from '../helpers/world.ts';
import { type Installation, installation } from './main-harness.ts';

const SCRIPT = fileURLToPath(new URL('../../src/sallyport.js', import.meta.url));
const SETTINGS = `proxy: { listen: "127.0.0.1:0", drain: 10m }
admin: { listen: "127.0.0.1:0" }
dns: { hosts: { "raw.test": [127.0.0.1] } }
`;

describe('start', () => {
  let raw: Awaited<ReturnType<typeof rawUpstream>>;
  let home: Installation;
  let child: ChildProcess;
  let said = '';

  beforeAll(async () => {
    raw = await rawUpstream((socket) => socket.on('end', () => socket.end()).resume());
  });
  afterEach(() => {
    child.kill('SIGKILL');
    home.remove();
  });
  afterAll(() => raw.close());

  const start = async (): Promise<number> => {
    const rules = [tunnelled(`raw.test:${raw.port}`, 'protocol: any')];
    home = installation({ policies: { 'agents.yaml': policy(rules) }, settings: SETTINGS });
    said = '';
    child = spawn(process.execPath, [SCRIPT, 'start'], { cwd: home.dir, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (bytes: Buffer) => {
        said += bytes.toString();
      });
    }
    const port = await eventually(() => /proxy {3}http:\/\/127\.0\.0\.1:(\d+)/.exec(said)?.[1], 15_000);
    return Number(port);
  };
  const recorded = (): Record<string, unknown>[] => {
    const dir = join(home.dir, '.sallyport', 'audit');
    const files = readdirSync(dir).filter((name) => name.endsWith('.jsonl'));
    return files.flatMap((name) => jsonLines(readFileSync(join(dir, name), 'utf8')));
  };

  it.each([
    ['SIGTERM', 'SIGINT'],
    ['SIGINT', 'SIGINT'],
  ] as const)(
    'at %s and then %s cuts what is open, writes its end and goes',
    async (first, second) => {
      const port = await start();
      const tunnel = await connect(port, `raw.test:${raw.port}`);
      const gone = once(child, 'exit');
      child.kill(first);
      await eventually(() => said.includes('open work may end'));
      child.kill(second);
      expect(await gone).toEqual([0, null]);
      await tunnel.over();
      const ends = recorded().filter((one) => one['kind'] === 'end');
      expect(ends.map((end) => end['host'])).toEqual(['raw.test']);
      expect((await home.run(['audit', 'verify'])).status).toBe(0);
    },
    30_000,
  );
});
