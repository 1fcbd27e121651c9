/**
 * Driver of `topology.test.ts`: the compose file's networks, the proxy in its container with the settings that are shipped,
 * and `verify.sh` in the sandbox: as it is meant to be, and then with one hole after the other. Prints what it said each time.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chmodSync, chownSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { COMPOSE_DIR, loose, readCompose, texts } from '../../helpers/compose.ts';
import { ROOT } from '../../helpers/import-table.ts';
import type { Ran } from '../../helpers/run-program.ts';
import { policy } from '../../helpers/scene.ts';
import {
  buildTopology,
  type Place,
  PUBLIC,
  PUBLIC_V6,
  shut,
  type Topology,
  WEB,
} from '../../helpers/topology.ts';
import { eventually, upstreamAuthority, upstreamPair } from '../../helpers/world.ts';

export type Finding = { readonly check: string; readonly status: string; readonly detail: string };
export type Verified = Ran & { readonly findings: readonly Finding[] };
export type TopologyReport = {
  readonly seen: Readonly<Record<string, Verified>>;
  readonly busybox: Ran;
  /** what a client that knows of no proxy got, with compose.transparent.yaml */
  readonly unaware: string;
};

const SANDBOX = '172.25.128.2';
const PROXY_USER = 10001;
const SANDBOX_USER = 1000;
const HOSTS = new URL('./topology-hosts.ts', import.meta.url).pathname;
const compose = readCompose();
const dir = mkdtempSync(path.join(tmpdir(), 'sallyport-topology-'));
/** Nothing but busybox: another way to connect and to ask for names. */
const BUSYBOX = ['env', `PATH=${path.join(dir, 'tools')}`, '/bin/busybox', 'sh'];

/** A process in a place, until `end`. */
type Helper = { end(): Promise<void> };

function enter(place: Place, argv: readonly string[]): [string, string[]] {
  return place.pid === process.pid
    ? [argv[0] ?? '', argv.slice(1)]
    : ['nsenter', ['-t', String(place.pid), '-n', '-m', '--', ...argv]];
}

async function helper(
  place: Place,
  argv: readonly string[],
  env: NodeJS.ProcessEnv,
  ready: string,
): Promise<Helper> {
  const [program, args] = enter(place, argv);
  const child: ChildProcess = spawn(program, args, { env, cwd: ROOT, stdio: 'pipe' });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (bytes: Buffer) => {
      said += bytes.toString();
    });
  const gone = new Promise<void>((resolve) => void child.once('close', () => resolve()));
  await eventually(() => said.includes(ready), 30_000).catch(() => {
    throw new Error(`${argv.join(' ')} did not start:\n${said}`);
  });
  return {
    end: async () => {
      child.kill('SIGKILL');
      await gone;
    },
  };
}

function hosts(place: Place, ...args: string[]): Promise<Helper> {
  return helper(place, [process.execPath, HOSTS, ...args], process.env, 'ready');
}

function lessUser(id: number, argv: readonly string[]): string[] {
  const user = `--reuid=${id} --regid=${id} --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all`;
  return ['setpriv', ...user.split(' '), '--', ...argv];
}

/** The product as the image starts it: the shipped settings, another user, no capability. */
function startProxy(place: Place, more: Record<string, string> = {}): Promise<Helper> {
  const env = {
    PATH: process.env['PATH'] ?? '',
    SALLYPORT_POLICIES: path.join(dir, 'policies'),
    SALLYPORT_CERTS: path.join(dir, 'state/certs'),
    SALLYPORT_STATE_DIR: path.join(dir, 'state/state'),
    SALLYPORT_DNS_HOSTS: `api.test=${WEB}`,
    SALLYPORT_TLS_EXTRA_CA: path.join(dir, 'upstream-ca.pem'),
    ...more,
  };
  const start = [
    process.execPath,
    path.join(ROOT, 'src/sallyport.js'),
    'start',
    '--config',
    `${COMPOSE_DIR}/sallyport.yaml`,
  ];
  return helper(place, lessUser(PROXY_USER, start), env, 'admin   http');
}

function environmentOf(file: string): Record<string, string> {
  return Object.fromEntries(readCompose(file).services.get('sallyport')?.environment ?? []);
}

function writePolicy(mode: 'enforce' | 'monitor'): void {
  const file = path.join(dir, 'policies/agents.yaml');
  const text = policy(['allow: api.test, methods: [GET]'], {
    sources: '172.25.0.0/16',
    more: `mode: ${mode}\n`,
  });
  writeFileSync(file, text);
}

function prepare(): void {
  chmodSync(dir, 0o755);
  for (const name of ['policies', 'state', 'home']) mkdirSync(path.join(dir, name));
  chownSync(path.join(dir, 'state'), PROXY_USER, PROXY_USER);
  chownSync(path.join(dir, 'home'), SANDBOX_USER, SANDBOX_USER);
  writeFileSync(path.join(dir, 'upstream-ca.pem'), upstreamAuthority().certPem);
  const { cert, key } = upstreamPair('api.test');
  writeFileSync(path.join(dir, 'web.pem'), `${cert}\n${key}`);
  writePolicy('enforce');
  const raw = loose(compose.services.get('sandbox')?.raw);
  const lines = texts(raw['extra_hosts']).map(
    (one) => `${one.slice(one.indexOf(':') + 1)} ${one.slice(0, one.indexOf(':'))}\n`,
  );
  writeFileSync(path.join(dir, 'hosts'), `127.0.0.1 localhost\n${lines.join('')}`);
  const resolv = `${texts(raw['dns'])
    .map((one) => `nameserver ${one}\n`)
    .join('')}options timeout:1 attempts:1\n`;
  writeFileSync(path.join(dir, 'resolv.conf'), resolv);
  for (const name of ['verify.sh', 'sandbox/entrypoint.sh'])
    cpSync(path.join(COMPOSE_DIR, name), path.join(dir, path.basename(name)));
}

/** Runs the script in the sandbox as the image does, by `program`; the environment is the compose file's. */
async function verify(
  topology: Topology,
  args: readonly string[],
  program: readonly string[] = ['sh'],
): Promise<Verified> {
  const sandbox = placeOf(topology, 'sandbox');
  const environment = Object.fromEntries(compose.services.get('sandbox')?.environment ?? []);
  const env = {
    ...environment,
    HOME: path.join(dir, 'home'),
    PATH: '/usr/bin:/bin:/usr/sbin:/sbin',
    VERIFY_ALLOWED: 'https://api.test/hello',
  };
  const inside = [...program, path.join(dir, 'verify.sh'), '--timeout', '1', ...args];
  const started = program === BUSYBOX ? inside : ['sh', path.join(dir, 'entrypoint.sh'), ...inside];
  const [file, argv] = enter(sandbox, lessUser(SANDBOX_USER, started));
  const { promise, resolve } = Promise.withResolvers<Ran>();
  const child = spawn(file, argv, { env, cwd: dir, timeout: 90_000 });
  const said = { stdout: '', stderr: '' };
  child.stdout.on('data', (bytes: Buffer) => {
    said.stdout += bytes.toString();
  });
  child.stderr.on('data', (bytes: Buffer) => {
    said.stderr += bytes.toString();
  });
  child.once('close', (status) => resolve({ status, ...said }));
  const ran = await promise;
  const findings: unknown =
    args.includes('--json') && ran.stdout.startsWith('[') ? JSON.parse(ran.stdout) : [];
  // The script is ours: its own test says what it prints.
  return { ...ran, findings: findings as Finding[] };
}

function placeOf(topology: Topology, name: string): Place {
  const place = topology.places.get(name);
  if (place === undefined) throw new Error(`no ${name}`);
  return place;
}

/** A way out for the sandbox by the host, for what nft's `match` fits. */
function openRoute(topology: Topology, match: string): () => void {
  const sandbox = placeOf(topology, 'sandbox');
  const bridge = topology.bridgeOf('agents');
  topology.host.run(`nft flush chain ip docker ${bridge}; nft add rule ip docker ${bridge} iifname ${bridge} ${match} accept
    ${shut(bridge)}; ip addr add 172.25.0.1/16 dev ${bridge}
    nft add table inet input; nft add chain inet input in '{ type filter hook input priority 0; }'
    nft add rule inet input in iifname ${bridge} drop`);
  sandbox.run('ip route add default via 172.25.0.1');
  return () => {
    sandbox.run('ip route del default');
    topology.host.run(`nft flush chain ip docker ${bridge}; ${shut(bridge)}
      nft delete table inet input; ip addr del 172.25.0.1/16 dev ${bridge}`);
  };
}

function openSix(topology: Topology): () => void {
  const { host, internet } = topology;
  const sandbox = placeOf(topology, 'sandbox');
  const bridge = topology.bridgeOf('agents');
  host.run(`echo 1 > /proc/sys/net/ipv6/conf/all/forwarding; ip -6 addr add fd00:25::1/64 dev ${bridge} nodad
    ip -6 addr add fd00:99::1/64 dev wan0 nodad; ip -6 route add default via fd00:99::2`);
  internet.run('ip -6 addr add fd00:99::2/64 dev eth0 nodad; ip -6 route add default via fd00:99::1');
  sandbox.run(`ip -6 addr add fd00:25::2/64 dev $(ls /sys/class/net | grep eth | head -1) nodad
    ip -6 route add default via fd00:25::1`);
  return () => void host.run(`ip -6 addr del fd00:25::1/64 dev ${bridge}`);
}

async function holes(topology: Topology, seen: Record<string, Verified>): Promise<void> {
  const gate = placeOf(topology, 'sallyport');
  const sandbox = placeOf(topology, 'sandbox');
  const look = async (name: string): Promise<void> => {
    seen[name] = await verify(topology, ['--json']);
  };
  for (const [name, match] of [
    ['route', ''],
    ['udp 53', 'udp dport 53'],
    ['tcp 53', 'tcp dport 53'],
  ] as const) {
    const close = openRoute(topology, match);
    await look(name);
    close();
  }
  // Two at a time, where each is a check of its own.
  const resolver = await hosts(gate, 'resolver', '172.25.0.2', WEB);
  const close = openSix(topology);
  await look('resolver and ipv6');
  close();
  await resolver.end();
  const bridge = topology.bridgeOf('agents');
  topology.host.run(`ip addr add 172.25.0.1/16 dev ${bridge}; ip addr add 169.254.169.254/32 dev ${bridge}`);
  sandbox.run('ip route add 169.254.169.254 via 172.25.0.1');
  const metadata = await hosts(topology.host, 'listen', '169.254.169.254', '80');
  await look('gateway and metadata');
  await metadata.end();
  topology.host.run(`ip addr flush dev ${bridge}`);
  sandbox.run('ip route del 169.254.169.254');
}

async function main(): Promise<void> {
  prepare();
  const topology = await buildTopology(compose, ['sallyport', 'sandbox'], { sandbox: SANDBOX });
  const gate = placeOf(topology, 'sallyport');
  const sandbox = placeOf(topology, 'sandbox');
  for (const name of ['hosts', 'resolv.conf']) sandbox.run(`mount --bind ${dir}/${name} /etc/${name}`);
  const internet = await hosts(topology.internet, 'internet', WEB, `${dir}/web.pem`, ...PUBLIC, ...PUBLIC_V6);
  let proxy = await startProxy(gate);
  const seen: Record<string, Verified> = { shut: await verify(topology, ['--json']) };
  mkdirSync(path.join(dir, 'tools'));
  for (const name of 'sh wget nc nslookup timeout awk sed grep sort tr wc cat tail'.split(' '))
    execFileSync('ln', ['-s', '/bin/busybox', path.join(dir, 'tools', name)]);
  const busybox = await verify(topology, [], BUSYBOX);
  await holes(topology, seen);
  writePolicy('monitor');
  await proxy.end();
  proxy = await startProxy(gate, { SALLYPORT_ADMIN_LISTEN: '0.0.0.0:9090' });
  seen['admin and monitor'] = await verify(topology, ['--json']);
  await proxy.end();
  writePolicy('enforce');
  // Ports below 1024 without a capability, as the compose file's sysctl has it.
  gate.run('echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start');
  proxy = await startProxy(gate, environmentOf('compose.transparent.yaml'));
  seen['transparent'] = await verify(topology, ['--json']);
  const url = `--cacert ${dir}/state/certs/ca.pem -sS -m 8 --noproxy '*' https://api.test/unaware`;
  const unaware = sandbox.run(`curl ${url}`);
  await proxy.end();
  seen['no proxy'] = await verify(topology, ['--json'], BUSYBOX);
  process.stdout.write(JSON.stringify({ seen, busybox, unaware }));
  await internet.end();
  topology.end();
  rmSync(dir, { recursive: true, force: true });
}

await main();
