/** tinyproxy: a small CONNECT proxy, tunnels only. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findProgram, freePort, startPinned } from '../harness/process.ts';
import { type Peer, PLACEHOLDER, type Setting, type Started } from './peer.ts';

export const tinyproxy: Peer = {
  name: 'tinyproxy',
  paths: ['tunnel'],
  features: [],
  missing: () => (findProgram('tinyproxy') === undefined ? ['tinyproxy'] : []),
  start,
};

async function start(setting: Setting): Promise<Started> {
  const port = await freePort();
  const dir = join(setting.material.dir, `tinyproxy-${port}`);
  mkdirSync(dir);
  const config = join(dir, 'tinyproxy.conf');
  const lines = [`Port ${port}`, 'Listen 127.0.0.1', 'Timeout 600', 'MaxClients 20000', 'Allow 127.0.0.1'];
  writeFileSync(config, [...lines, 'LogLevel Critical', `LogFile "${dir}/log"`, ''].join('\n'));
  const running = await startPinned({
    name: 'tinyproxy',
    core: setting.core,
    command: findProgram('tinyproxy') ?? 'tinyproxy',
    args: ['-d', '-c', config],
    port,
    log: join(dir, 'out.log'),
  });
  return { ...running, port, direct: false, host: '127.0.0.1', authorization: PLACEHOLDER };
}
