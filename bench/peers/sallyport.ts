/** Sallyport itself, started as a user would, with policy, audit and metrics on. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { HOST } from '../harness/material.ts';
import { freePort, startPinned } from '../harness/process.ts';
import type { Peer, Setting, Started } from './peer.ts';

const PROGRAM = join('src', 'sallyport.js');

const HERE = join(import.meta.dirname, '..', '..');

export const sallyport: Peer = sallyportIn('sallyport', HERE);

/** The same without a profile, sent the real key: what swapping and searching cost is the difference. */
export const withoutKeys: Peer = {
  ...sallyportIn('without-keys', HERE, false),
  paths: ['intercept'],
  rows: ['keepalive', 'post'],
};

/** `name=DIR`: Sallyport as it is in another checkout, installed there. Throws TypeError on anything else. */
export function otherTree(text: string): Peer {
  const [, name, dir] = /^([\w.-]+)=(.+)$/.exec(text) ?? [];
  if (name === undefined || dir === undefined) throw new TypeError(`--tree ${text}: name=DIR is expected`);
  const root = resolve(dir);
  if (!existsSync(join(root, PROGRAM))) throw new TypeError(`--tree ${text}: no ${PROGRAM} in ${root}`);
  return sallyportIn(name, root);
}

function sallyportIn(name: string, root: string, keyed = true): Peer {
  const program = join(root, PROGRAM);
  return {
    name,
    paths: ['tunnel', 'intercept'],
    missing: () => [],
    start: (setting) => start(setting, program, keyed),
  };
}

async function start(setting: Setting, program: string, keyed: boolean): Promise<Started> {
  const [port, adminPort] = [await freePort(), await freePort()];
  const dir = join(setting.material.dir, `sallyport-${port}`);
  writeInstall(dir, port, adminPort, { setting, keyed });
  const running = await startPinned({
    name: 'sallyport',
    core: setting.core,
    command: process.execPath,
    args: [program, 'start', '--config', join(dir, 'sallyport.yaml')],
    port,
    log: join(dir, 'out.log'),
    cwd: dir,
  });
  const at = { ...running, port, direct: false, host: HOST };
  if (!keyed) return { ...at, authorization: setting.upstream.authorization };
  try {
    const [key, messageKey] = await placeholdersFrom(port);
    return {
      ...at,
      authorization: `Bearer ${key}`,
      message: `Bearer ${messageKey}`,
    };
  } catch (error) {
    await running.stop();
    throw error;
  }
}

type Install = { readonly setting: Setting; readonly keyed: boolean };

function writeInstall(dir: string, port: number, adminPort: number, { setting, keyed }: Install): void {
  const { material, upstream } = setting;
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
${[upstream.tls, upstream.tlsKeys, upstream.h2].map(interceptRule).join('')}${[upstream.plain, upstream.source, upstream.sink, upstream.echo].map(tunnelRule).join('')}${keyed ? 'profile: bench\n' : ''}limits:
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
    hosts: ["${HOST}:${upstream.tls}", "${HOST}:${upstream.h2}"]
  - env: BENCH_MESSAGE_KEY
    from: file:${join(dir, 'key')}
    in: [header, websocket, body]
    hosts: ["${HOST}:${upstream.tlsKeys}"]
`,
  );
}

function interceptRule(port: number): string {
  return `  - allow: ${HOST}:${port}\n    methods: [GET, POST]\n    paths: ["/**"]\n    addresses: [127.0.0.0/8]\n`;
}

function tunnelRule(port: number): string {
  return `  - allow: ${HOST}:${port}\n    addresses: [127.0.0.0/8]\n    protocol: any\n`;
}

async function placeholdersFrom(port: number): Promise<[string, string]> {
  const answer = await fetch(`http://127.0.0.1:${port}/env?format=json`, {
    signal: AbortSignal.timeout(10_000),
  });
  const body: unknown = await answer.json();
  const fields = new Map<string, unknown>(Object.entries(typeof body === 'object' ? (body ?? {}) : {}));
  const [key, messageKey] = [fields.get('BENCH_KEY'), fields.get('BENCH_MESSAGE_KEY')];
  if (typeof key === 'string' && typeof messageKey === 'string') return [key, messageKey];
  throw new Error(`sallyport: /env gave no placeholder (status ${answer.status})`);
}
