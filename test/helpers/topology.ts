/**
 * The networks of `deploy/compose/compose.yaml` rebuilt with namespaces, bridges and veth pairs, for a driver that runs in a
 * namespace of its own: that one is the Docker host, each container and the internet get another. What Docker does for
 * `internal` and `isolated` is done here by the same means: no route, no address on the bridge, nothing forwarded.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import type { Compose } from './compose.ts';
import { eventually } from './world.ts';

export type Place = { readonly pid: number; run(command: string): string };
export type Topology = {
  /** the Docker host itself */
  readonly host: Place;
  readonly places: ReadonlyMap<string, Place>;
  readonly internet: Place;
  /** name of a network's bridge on the host */
  bridgeOf(network: string): string;
  end(): void;
};

/** Addresses of the internet, as the namespace has them. */
export const PUBLIC = ['1.1.1.1', '8.8.8.8', '9.9.9.9', '140.82.121.4'];
export const PUBLIC_V6 = ['2606:4700:4700::1111', '2001:4860:4860::8888', '2620:fe::fe'];
export const WEB = '93.184.216.34';
const INTERNET_LINK = ['198.51.100.1', '198.51.100.2'] as const;

/** `extra`: addresses for containers that Docker chooses one for, by service. */
export async function buildTopology(
  compose: Compose,
  services: readonly string[],
  extra: Readonly<Record<string, string>>,
): Promise<Topology> {
  const holders: ChildProcess[] = [];
  const host: Place = { pid: process.pid, run: (command) => shell(['sh', '-ec', command]) };
  const place = async (): Promise<Place> => {
    const holder = spawn('unshare', ['-n', '-m', 'sleep', '600'], { stdio: 'ignore' });
    holders.push(holder);
    const pid = holder.pid ?? 0;
    await eventually(() => namespaceOf(pid) !== namespaceOf(process.pid), 20_000);
    const made: Place = {
      pid,
      run: (command) => shell(['nsenter', '-t', String(pid), '-n', '-m', 'sh', '-ec', command]),
    };
    made.run('ip link set lo up');
    return made;
  };
  const names = [...compose.networks.keys()];
  const bridgeOf = (network: string): string => `br${names.indexOf(network)}`;
  host.run('ip link set lo up; echo 1 > /proc/sys/net/ipv4/ip_forward');
  for (const [name, { internal, isolated, subnet }] of compose.networks) {
    const bridge = bridgeOf(name);
    host.run(`ip link add ${bridge} type bridge && ip link set ${bridge} up`);
    if (subnet !== '' && !isolated) host.run(`ip addr add ${gatewayOf(subnet)} dev ${bridge}`);
    if (internal)
      host.run(`nft add table ip docker; nft add chain ip docker ${bridge} '{ type filter hook forward priority 0; }'
      ${shut(bridge)}`);
  }
  const internet = await place();
  linkInternet(host, internet);
  const places = new Map<string, Place>();
  for (const [index, name] of services.entries()) {
    const made = await place();
    places.set(name, made);
    for (const [network, fixed] of compose.services.get(name)?.networks ?? []) {
      const at = compose.networks.get(network);
      if (at === undefined || at.subnet === '') continue;
      const [near, far] = [`v${index}${names.indexOf(network)}h`, `eth${names.indexOf(network)}`];
      const address = `${fixed === '' ? (extra[name] ?? '') : fixed}/${at.subnet.split('/')[1]}`;
      host.run(`ip link add ${near} type veth peer name ${far} && ip link set ${near} master ${bridgeOf(network)} up
        ip link set ${far} netns ${made.pid}`);
      made.run(`ip addr add ${address} dev ${far} && ip link set ${far} up`);
      if (!at.internal) made.run(`ip route add default via ${gatewayOf(at.subnet).split('/')[0]}`);
    }
  }
  return { host, places, internet, bridgeOf, end: () => holders.forEach((one) => void one.kill('SIGKILL')) };
}

/** nft commands that keep a bridge to itself; frames from port to port pass, which `br_netfilter` may show here too. */
export function shut(bridge: string): string {
  const rule = `nft add rule ip docker ${bridge}`;
  return `${rule} iifname ${bridge} oifname != ${bridge} drop; ${rule} oifname ${bridge} iifname != ${bridge} ct state new drop`;
}

function linkInternet(host: Place, internet: Place): void {
  const [near, far] = INTERNET_LINK;
  host.run(`ip link add wan0 type veth peer name eth0 netns ${internet.pid} && ip addr add ${near}/24 dev wan0
    ip link set wan0 up && ip route add default via ${far}
    nft add table ip uplink; nft add chain ip uplink out '{ type nat hook postrouting priority 100; }'
    nft add rule ip uplink out oifname wan0 masquerade`);
  internet.run(`ip addr add ${far}/24 dev eth0 && ip link set eth0 up`);
  for (const address of [...PUBLIC, WEB]) internet.run(`ip addr add ${address}/32 dev lo`);
  for (const address of PUBLIC_V6) internet.run(`ip -6 addr add ${address}/128 dev lo nodad`);
}

/** `172.25.0.0/16` -> `172.25.0.1/16`: where Docker puts the host. */
function gatewayOf(subnet: string): string {
  return subnet.replace(/\.0\//, '.1/');
}

function namespaceOf(pid: number): string {
  return readlinkSync(`/proc/${pid}/ns/net`);
}

function shell(argv: readonly string[]): string {
  const [program = '', ...args] = argv;
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}
