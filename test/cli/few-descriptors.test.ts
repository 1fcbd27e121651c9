/** A real proxy that runs out of file descriptors, because its sandboxes hold connections, at the moment at which its state files change. */
import { readdirSync, renameSync, utimesSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { policy } from '../helpers/scene.ts';
import { open } from '../helpers/talk.ts';
import { eventually } from '../helpers/world.ts';
import { type Running, startProcess } from './process-harness.ts';

const SETTINGS = 'proxy: { listen: "127.0.0.1:0", drain: 1s }\nadmin: { listen: "127.0.0.1:0" }\n';
const LIMIT = 64;

let running: Running;
afterEach(() => running.remove());

it('without file descriptors a changed lockdown file locks everybody, and no longer than they are missing', async () => {
  running = await startProcess({
    policies: { 'agents.yaml': policy([]) },
    settings: SETTINGS,
    through: `ulimit -n ${LIMIT}; exec "$@"`,
  });
  const { child, port, home, said, gone } = running;
  const refused = async (): Promise<string> => {
    const client = await open(port);
    const { reason } = await client.ask('CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n');
    client.destroy();
    return reason;
  };
  expect(await refused()).toMatch(/^host_not_allowed/);
  const kept = await open(port);
  const held = Array.from({ length: LIMIT }, () => net.connect(port, '127.0.0.1').on('error', () => {}));
  await eventually(() => readdirSync(`/proc/${child.pid}/fd`).length >= LIMIT);
  const state = join(home.dir, '.sallyport');
  replace(join(state, 'lockdown.json'), '{"version":1,"locks":[],"lifted":0,"let_go":[]}');
  replace(join(state, 'operators.json'), '{"version":1,"operators":[],"factors":[]}');
  await eventually(() => said().includes('operators: nobody but'));
  const locked = await kept.ask('CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n');
  expect(locked.reason).toMatch(/^locked_down/);
  for (const socket of held) socket.destroy();
  await eventually(async () => (await refused()).startsWith('host_not_allowed'));
  child.kill('SIGTERM');
  expect(await gone).toEqual([0, null]);
}, 60_000);

/** By a file that was made long ago: one that is young is looked at again in any case. */
function replace(file: string, text: string): void {
  writeFileSync(`${file}.new`, text, { mode: 0o600 });
  utimesSync(`${file}.new`, 1, 1);
  renameSync(`${file}.new`, file);
}
