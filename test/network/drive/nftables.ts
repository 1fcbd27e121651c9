/**
 * Driver of `nftables.test.ts`: a plain host that is its sandboxes' gateway and forwards whatever it is given, and the rules
 * of deploy/nftables on it. Prints what `verify.sh` and a few clients said with and without them.
 */
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { COMPOSE_DIR, type Compose } from '../../helpers/compose.ts';
import { ROOT } from '../../helpers/import-table.ts';
import type { Ran } from '../../helpers/run-program.ts';
import { policy } from '../../helpers/scene.ts';
import { buildTopology, type Place, PUBLIC, WEB } from '../../helpers/topology.ts';
import { eventually, makeWorld, upstreamPair } from '../../helpers/world.ts';

export type NftablesReport = {
  readonly open: Ran;
  readonly shut: Ran;
  readonly redirected: Ran;
  /** clients in the sandbox, by what they tried */
  readonly clients: Readonly<Record<string, Ran>>;
  readonly dropped: string;
};

const NFTABLES = path.join(ROOT, 'deploy/nftables');
const GATE = '172.25.0.1';
/** users.nft names a user of the host; here it is a number that nobody has. */
const USER = 4242;
const dir = mkdtempSync(path.join(tmpdir(), 'sallyport-nft-'));
const AGENTS: Compose = {
  raw: {},
  services: new Map([
    ['one', { raw: {}, networks: new Map([['agents', '172.25.0.2']]), environment: new Map(), ports: [] }],
    ['two', { raw: {}, networks: new Map([['agents', '172.25.0.3']]), environment: new Map(), ports: [] }],
  ]),
  networks: new Map([['agents', { internal: false, isolated: false, subnet: '172.25.0.0/16', range: '' }]]),
};

/** Runs a shell command in a place; its PATH is a sandbox's. */
async function at(place: Place, command: string): Promise<Ran> {
  const argv = ['-t', String(place.pid), '-n', '-m', '--', 'sh', '-c', command];
  const env = { PATH: '/usr/bin:/bin:/usr/sbin:/sbin', HOME: dir, DIR: dir };
  const child = spawn('nsenter', argv, { env, cwd: dir, timeout: 60_000 });
  const said = { stdout: '', stderr: '' };
  child.stdout.on('data', (bytes: Buffer) => {
    said.stdout += bytes.toString();
  });
  child.stderr.on('data', (bytes: Buffer) => {
    said.stderr += bytes.toString();
  });
  const { promise, resolve } = Promise.withResolvers<number | null>();
  child.once('close', resolve);
  return { status: await promise, ...said };
}

function load(name: string, change: (text: string) => string = (text) => text): void {
  const file = path.join(dir, name);
  writeFileSync(file, change(readFileSync(path.join(NFTABLES, name), 'utf8')));
  for (const turn of ['first', 'again']) {
    const { status, stderr } = spawnSync('nft', ['-f', file], { encoding: 'utf8' });
    if (status !== 0) throw new Error(`${name} does not load (${turn}): ${stderr}`);
  }
}

async function main(): Promise<void> {
  chmodSync(dir, 0o755);
  const topology = await buildTopology(AGENTS, ['one', 'two'], {});
  const [one, two] = [topology.places.get('one'), topology.places.get('two')];
  if (one === undefined || two === undefined) throw new Error('no sandboxes');
  // The bridge by the name that the files know, its ports parted as they say.
  topology.host.run(`ip link set br0 down && ip link set br0 name br-agents && ip link set br-agents up
    for port in v00h v10h; do ip link set dev $port type bridge_slave isolated on; done`);
  const { cert, key } = upstreamPair('api.test');
  writeFileSync(path.join(dir, 'web.pem'), `${cert}\n${key}`);
  const hosts = new URL('./topology-hosts.ts', import.meta.url).pathname;
  const inside = ['-t', String(topology.internet.pid), '-n', '-m', '--'];
  const args = [hosts, 'internet', WEB, path.join(dir, 'web.pem'), ...PUBLIC];
  const internet = spawn('nsenter', [...inside, process.execPath, ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let ready = '';
  internet.stdout.on('data', (bytes: Buffer) => {
    ready += bytes.toString();
  });
  await eventually(() => ready !== '', 30_000);
  const world = await makeWorld({
    policies: {
      'agents.yaml': policy(['allow: api.test, methods: [GET]'], { sources: '172.25.0.0/16' }),
      'users.yaml': policy(['allow: api.test, methods: [GET]'], { group: 'users', sources: '127.0.0.1/32' }),
    },
    hosts: { 'api.test': [WEB] },
    env: {
      SALLYPORT_PROXY_LISTEN: '0.0.0.0:8080',
      SALLYPORT_TRANSPARENT_TLS: `${GATE}:8443`,
      SALLYPORT_TRANSPARENT_HTTP: `${GATE}:8081`,
      SALLYPORT_TRANSPARENT_DNS: `${GATE}:5300`,
      SALLYPORT_TRANSPARENT_ADDRESS: GATE,
    },
  });
  writeFileSync(path.join(dir, 'ca.pem'), world.caPem);
  writeFileSync(path.join(dir, 'resolv.conf'), 'nameserver 8.8.8.8\noptions timeout:1 attempts:1\n');
  one.run(`mount --bind ${dir}/resolv.conf /etc/resolv.conf`);
  const verify = `CURL_CA_BUNDLE=$DIR/ca.pem sh ${COMPOSE_DIR}/verify.sh --proxy http://${GATE}:8080 --timeout 1`;
  const allowed = `${verify} --allowed https://api.test/x`;
  const clients: Record<string, Ran> = {};
  const open = await at(one, verify);
  load('sallyport.nft');
  const shut = await at(one, allowed);
  const curl = "curl -sS -m 2 --noproxy '*' --cacert $DIR/ca.pem";
  clients['port that is for redirected packets'] = await at(one, `${curl} http://${GATE}:8081/`);
  clients['other sandbox'] = await at(two, `curl -sS -m 2 http://172.25.0.2:8080/`);
  const dropped = topology.host.run('nft list table inet sallyport');
  load('redirect.nft');
  const redirected = await at(one, `${allowed} --redirected`);
  clients['no proxy known'] = await at(one, `${curl} -m 10 https://api.test/unaware`);
  clients['name refused'] = await at(one, `${curl} -m 10 https://evil.test/`);
  clients['port named, redirect loaded'] = await at(one, `${curl} http://${GATE}:8081/`);
  load('users.nft', (text) => text.replace('"agent"', String(USER)));
  const as = `setpriv --reuid=${USER} --regid=${USER} --clear-groups --`;
  clients['user past the proxy'] = await at(topology.host, `${as} ${curl} -m 10 -k https://1.1.1.1/`);
  clients['user by the proxy'] = await at(
    topology.host,
    `${as} curl -sS -m 8 --cacert $DIR/ca.pem -x http://127.0.0.1:8080 https://api.test/user`,
  );
  clients['user to another port of loopback'] = await at(
    topology.host,
    `${as} ${curl} -m 10 http://127.0.0.1:8081/`,
  );
  clients['somebody else'] = await at(topology.host, `${curl} -m 10 -k https://${WEB}/else`);
  process.stdout.write(JSON.stringify({ open, shut, redirected, clients, dropped }));
  internet.kill('SIGKILL');
  topology.end();
  await world.stop();
  rmSync(dir, { recursive: true, force: true });
}

await main();
