/**
 * Driver of `transparent.test.ts`: a sandbox in a namespace of its own whose only neighbour is the gate, a redirect by
 * nftables on the gate, and clients in the sandbox that know of no proxy. Prints what each of them saw.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { intercepted, placeholderIn, policy, profile, tunnelled } from '../../helpers/scene.ts';
import { httpUpstream } from '../../helpers/upstream.ts';
import { eventually, makeWorld } from '../../helpers/world.ts';

export type Seen = { readonly status: number | null; readonly out: string; readonly err: string };
export type TransparentReport = {
  readonly seen: Readonly<Record<string, Seen>>;
  readonly upstream: readonly string[];
  readonly records: readonly Record<string, unknown>[];
  readonly metrics: string;
};

const REAL = 'sk-proj-0123456789abcdefghijklmnopqrstuvwxyz';
const UPSTREAM = '93.184.216.34';
const GATE = '172.25.0.1';
const SANDBOX = '172.25.0.2';
const TLS = 8443;
const HTTP = 8081;
const DNS = 5353;

const REDIRECT = `table ip sallyport {
  chain to_gate {
    type nat hook prerouting priority dstnat;
    iifname "gate0" tcp dport 443 redirect to :${TLS}
    iifname "gate0" tcp dport 80 redirect to :${HTTP}
    iifname "gate0" udp dport 53 redirect to :${DNS}
    iifname "gate0" tcp dport 53 redirect to :${DNS}
  }
}
`;

function ip(args: string): void {
  execFileSync('ip', args.split(' '));
}

/** The gate's side of the wire, and a process that holds the sandbox's namespaces open. */
async function setUp(): Promise<{ pid: number; end: () => void }> {
  const holder = spawn('unshare', ['-n', '-m', 'sleep', '300'], { stdio: 'ignore' });
  const pid = holder.pid ?? 0;
  await eventually(() => spawnSync('nsenter', ['-t', String(pid), '-n', 'ip', 'link']).stdout.includes('lo'));
  const own = execFileSync('readlink', ['/proc/self/ns/net'], { encoding: 'utf8' });
  await eventually(() => execFileSync('readlink', [`/proc/${pid}/ns/net`], { encoding: 'utf8' }) !== own);
  ip('link set lo up');
  ip(`addr add ${UPSTREAM}/32 dev lo`);
  ip('link add gate0 type veth peer name agent0');
  ip(`addr add ${GATE}/24 dev gate0`);
  ip('link set gate0 up');
  ip(`link set agent0 netns ${pid}`);
  const inside = (args: string): void =>
    void execFileSync('nsenter', ['-t', String(pid), '-n', ...args.split(' ')]);
  inside('ip link set lo up');
  inside(`ip addr add ${SANDBOX}/24 dev agent0`);
  inside('ip link set agent0 up');
  inside(`ip route add default via ${GATE}`);
  execFileSync('nft', ['-f', '-'], { input: REDIRECT });
  return { pid, end: () => void holder.kill('SIGKILL') };
}

async function main(): Promise<void> {
  const sandbox = await setUp();
  const web = await httpUpstream({ name: 'api.test', host: UPSTREAM, port: 443 });
  const pinned = await httpUpstream({ name: 'pinned.test', host: UPSTREAM, port: 8444 });
  const clear = await httpUpstream({ host: UPSTREAM, port: 80 });
  const world = await makeWorld({
    policies: {
      'agents.yaml': policy(
        [intercepted('api.test'), tunnelled('pinned.test'), tunnelled('clear.test', 'ports: [80]')],
        { sources: '172.25.0.0/24', more: 'profile: keys\n' },
      ),
      'profiles/keys.yaml': profile([{ env: 'API_KEY', from: 'env:REAL', hosts: ['api.test'] }]),
    },
    hosts: { 'api.test': [UPSTREAM], 'pinned.test': [UPSTREAM], 'clear.test': [UPSTREAM] },
    settings: `transparent: { tls: "0.0.0.0:${TLS}", http: "0.0.0.0:${HTTP}", dns: "0.0.0.0:${DNS}", address: ${GATE} }\n`,
    env: { REAL },
  });
  const ca = path.join(world.dir, 'sandbox-ca.pem');
  writeFileSync(ca, world.caPem);
  const resolv = path.join(world.dir, 'resolv.conf');
  writeFileSync(resolv, 'nameserver 8.8.8.8\noptions timeout:2 attempts:1\n');
  const seen: Record<string, Seen> = {};
  // The name server is one that has never heard of us: only the redirect leads here.
  const run = async (name: string, command: string): Promise<void> => {
    const script = `mount --bind '${resolv}' /etc/resolv.conf; ${command}`;
    const child = spawn('nsenter', ['-t', String(sandbox.pid), '-n', '-m', 'sh', '-c', script], {
      env: { PATH: process.env['PATH'] ?? '', CA: ca },
    });
    const texts = { out: '', err: '' };
    child.stdout.on('data', (bytes: Buffer) => {
      texts.out += bytes.toString();
    });
    child.stderr.on('data', (bytes: Buffer) => {
      texts.err += bytes.toString();
    });
    const { promise, resolve } = Promise.withResolvers<number | null>();
    child.once('close', resolve);
    const limit = setTimeout(() => child.kill('SIGKILL'), 15_000);
    seen[name] = { status: await promise, ...texts };
    clearTimeout(limit);
  };
  const identity = { id: 'group:agents', group: 'agents', proof: 'source' } as const;
  const group = world.proxy.parts.snapshots.current()?.set.groups.get('agents');
  if (group === undefined) throw new Error('no group');
  const { bindings } = world.proxy.parts.bindings.forIdentity(identity, group);
  const key = placeholderIn({ API_KEY: bindings[0]?.placeholder }, 'API_KEY');
  const curl = 'curl -sS --max-time 8 --noproxy "*"';
  await run('allowed', `${curl} --cacert "$CA" https://api.test/a`);
  await run('swapped', `${curl} --cacert "$CA" -H 'Authorization: Bearer ${key}' https://api.test/b`);
  await run('by address', `${curl} --cacert "$CA" --resolve api.test:443:1.1.1.1 https://api.test/c`);
  await run('unknown name', `${curl} https://evil.test/`);
  await run('refused by SNI', `${curl} -k --resolve evil.test:443:1.1.1.1 https://evil.test/`);
  await run('no SNI', `${curl} -k https://1.1.1.1/`);
  await run('clear', `${curl} http://clear.test/d`);
  await run('clear refused', `${curl} --resolve evil.test:80:1.1.1.1 http://evil.test/e`);
  await run('clear under another name', `${curl} -H 'Host: evil.test' http://clear.test/f`);
  await run('other port', `${curl} --max-time 2 http://1.1.1.1:8080/`);
  await run('tcp dns', 'python3 -c "$DNS_OVER_TCP"'.replace('$DNS_OVER_TCP', DNS_OVER_TCP));
  await run('ipv6 question', 'getent ahostsv6 api.test');
  // Ends are written after the answer; what never comes is for the test to show.
  const counted = (all: readonly Record<string, unknown>[], kind: string): number =>
    all.filter((one) => one['kind'] === kind).length;
  await eventually(async () => {
    const all = await world.audit();
    return counted(all, 'end') === counted(all, 'decision');
  }).catch(() => undefined);
  const report: TransparentReport = {
    seen,
    upstream: [...web.seen, ...clear.seen].map(
      ({ method, url, headers }) => `${method} ${headers.host}${url} ${headers.authorization ?? '-'}`,
    ),
    records: await world.audit(),
    metrics: await world.metrics(),
  };
  process.stdout.write(JSON.stringify(report));
  sandbox.end();
  await world.stop();
  for (const server of [web, pinned, clear]) await server.close();
}

/** Two questions over one TCP connection: a name that may be known, and one that may not. */
const DNS_OVER_TCP = `
import socket, struct
def ask(name, id):
    q = struct.pack('>HHHHHH', id, 0x100, 1, 0, 0, 0)
    for label in name.split('.'): q += bytes([len(label)]) + label.encode()
    q += b'\\0' + struct.pack('>HH', 1, 1)
    return struct.pack('>H', len(q)) + q
s = socket.create_connection(('9.9.9.9', 53), 5)
s.sendall(ask('ApI.tEst', 7) + ask('evil.test', 8))
data = b''
while data.count(b'') and len(data) < 2 or len(data) < 2 + struct.unpack('>H', data[:2])[0] + 2:
    data += s.recv(4096)
first = struct.unpack('>H', data[:2])[0]
while len(data) < 4 + first or len(data) < 4 + first + struct.unpack('>H', data[2 + first:4 + first])[0]:
    data += s.recv(4096)
one, two = data[2:2 + first], data[4 + first:]
print(b'ApI' in one, '.'.join(str(b) for b in one[-4:]), one[3] & 15, two[3] & 15)
`.replaceAll('"', "'");

if (import.meta.main) await main();
