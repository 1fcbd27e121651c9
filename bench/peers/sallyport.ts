/** Sallyport itself, started as a user would, with policy, audit and metrics on. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HOST } from '../harness/material.ts';
import { freePort, startPinned } from '../harness/process.ts';
import type { Peer, Setting, Started } from './peer.ts';

const PROGRAM = join(import.meta.dirname, '..', '..', 'src', 'sallyport.js');

export const sallyport: Peer = {
  name: 'sallyport',
  paths: ['tunnel', 'intercept'],
  missing: () => [],
  start,
};

async function start(setting: Setting): Promise<Started> {
  const [port, adminPort] = [await freePort(), await freePort()];
  const dir = join(setting.material.dir, `sallyport-${port}`);
  writeInstall(dir, port, adminPort, setting);
  const running = await startPinned({
    name: 'sallyport',
    core: setting.core,
    command: process.execPath,
    args: [PROGRAM, 'start', '--config', join(dir, 'sallyport.yaml')],
    port,
    log: join(dir, 'out.log'),
    cwd: dir,
  });
  try {
    const placeholder = await placeholderFrom(port);
    return { ...running, port, direct: false, host: HOST, authorization: `Bearer ${placeholder}` };
  } catch (error) {
    await running.stop();
    throw error;
  }
}

function writeInstall(dir: string, port: number, adminPort: number, { material, upstream }: Setting): void {
  mkdirSync(join(dir, 'policies', 'profiles'), { recursive: true });
  writeFileSync(join(dir, 'key'), material.realKey, { mode: 0o600 });
  writeFileSync(
    join(dir, 'sallyport.yaml'),
    `proxy:
  listen: 127.0.0.1:${port}
admin:
  listen: 127.0.0.1:${adminPort}
policies: policies
certs: certs
state:
  dir: state
dns:
  hosts: { "${HOST}": ["127.0.0.1"] }
tls:
  extra_ca: ["${material.ca}"]
`,
  );
  writeFileSync(
    join(dir, 'policies', 'bench.yaml'),
    `version: 1
group: bench
identify:
  sources: [127.0.0.0/8]
rules:
  - allow: ${HOST}:${upstream.tls}
    methods: [GET, POST]
    paths: ["/**"]
    addresses: [127.0.0.0/8]
${[upstream.source, upstream.sink, upstream.echo].map(tunnelRule).join('')}profile: bench
limits:
  connections: 65536
`,
  );
  writeFileSync(
    join(dir, 'policies', 'profiles', 'bench.yaml'),
    `version: 1
profile: bench
secrets:
  - env: BENCH_KEY
    from: file:${join(dir, 'key')}
    hosts: ["${HOST}:${upstream.tls}"]
`,
  );
}

function tunnelRule(port: number): string {
  return `  - allow: ${HOST}:${port}\n    addresses: [127.0.0.0/8]\n    protocol: any\n`;
}

async function placeholderFrom(port: number): Promise<string> {
  const answer = await fetch(`http://127.0.0.1:${port}/env?format=json`, {
    signal: AbortSignal.timeout(10_000),
  });
  const body: unknown = await answer.json();
  if (
    typeof body === 'object' &&
    body !== null &&
    'BENCH_KEY' in body &&
    typeof body.BENCH_KEY === 'string'
  ) {
    return body.BENCH_KEY;
  }
  throw new Error(`sallyport: /env gave no placeholder (status ${answer.status})`);
}
