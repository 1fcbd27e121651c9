/**
 * Driver of `host-cases.test.ts`: every row of hosts.json as a live CONNECT. One group per set of policy hosts and
 * ports, told apart by source address; sets that must not load get a proxy of their own. Names resolve by
 * real DNS packets; upstreams record on every address. Also rebinding and the proxy's own addresses.
 */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { type Heard, inLanes, loadCases, say, sourceAddress } from '../../helpers/case-client.ts';
import { startRecorder } from '../../helpers/case-upstream.ts';
import {
  type AuditRecord,
  type CaseWorld,
  counterProblem,
  OWN_PUBLIC_IP,
  OWN_PUBLIC_IP6,
  recordProblem,
  setUpNetwork,
  startCaseWorld,
} from '../../helpers/case-world.ts';
import type { StubScript } from '../../helpers/dns-stub.ts';
import { greetingBytes, requestBytes } from '../../helpers/socks.ts';
import { eventually } from '../../helpers/world.ts';

export type HostRow = {
  readonly id: string;
  readonly authority: string;
  readonly policyHosts: readonly string[];
  readonly policyPorts?: readonly number[];
  readonly dns?: readonly string[];
  readonly expect: 'allow' | 'deny';
  readonly tolerate?: string;
  readonly group: string;
  readonly why: string;
};

export type HostResult = {
  readonly id: string;
  readonly heard: Heard;
  readonly records: readonly AuditRecord[];
  readonly recordProblem: string | null;
};

export type HostReport = {
  readonly rows: readonly HostResult[];
  /** the rows that SOCKS5 has bytes for, asked through it */
  readonly socks: readonly HostResult[];
  /** connections that upstreams saw */
  readonly connections: readonly string[];
  /** names that the name server was asked for */
  readonly queried: readonly string[];
  /** what `check` said of the sets that must not load */
  readonly checks: readonly { readonly status: number | null; readonly output: string }[];
  readonly counters: string | null;
  readonly rebinding: { readonly first: string; readonly later: string; readonly loopback: number };
  readonly own: readonly { readonly name: string; readonly text: string; readonly reason: string | null }[];
};

const LANES = 6;
/** Source addresses of the SOCKS clients begin here. */
const SOCKS_CLIENTS = 20_000;
const ROOT = path.resolve(import.meta.dirname, '../../..');
/** An address on `lo` that one proxy listens on. */
const LISTEN_IP = '51.15.88.88';

const rows = loadCases<HostRow>('hosts');
const setOf = (row: HostRow): string => JSON.stringify([row.policyHosts, row.policyPorts ?? null]);
const loads = (row: HostRow): boolean => row.policyHosts.every((host) => /^[!-~]+$/.test(host));

function policyOf(row: HostRow, name: string, source: string): string {
  const rule = {
    allow: row.policyHosts,
    ...(row.policyPorts === undefined ? {} : { ports: row.policyPorts }),
  };
  const rules = row.policyHosts.length === 0 ? [] : [rule];
  return JSON.stringify({ version: 1, group: name, identify: { sources: [source] }, rules });
}

function script(addresses: readonly string[]): StubScript {
  const own = addresses.map((address) => (address === 'PROXY_OWN_PUBLIC_IP' ? OWN_PUBLIC_IP : address));
  return {
    a: own.filter((address) => !address.includes(':')),
    aaaa: own.filter((address) => address.includes(':')),
  };
}

/** Answers for every name that a row could mean; the default is public. */
function zone(): Record<string, StubScript> {
  const names: Record<string, StubScript> = {};
  for (const row of rows) {
    const name = row.authority
      .toLowerCase()
      .replace(/:[^:]*$/, '')
      .replace(/\.$/, '');
    // No answers at all: the row's text says so, its fields do not.
    if (row.id === 'host-306') names[name] = { rcode: 'NXDOMAIN' };
    else if (row.dns !== undefined || !(name in names)) names[name] = script(row.dns ?? ['8.8.8.8']);
  }
  return names;
}

function connectBytes(authority: string): Buffer {
  return Buffer.from(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`, 'utf8');
}

async function ask(world: CaseWorld, from: string, authority: string): Promise<Omit<HostResult, 'id'>> {
  const heard = await say({ port: world.port, from, bytes: connectBytes(authority) });
  const records = await world.recordsOf(from);
  return {
    heard: { ...heard, text: heard.text.slice(0, 1_000) },
    records,
    recordProblem: recordProblem(records),
  };
}

async function runLoadable(world: CaseWorld, sets: readonly string[]): Promise<HostResult[]> {
  const good = rows.filter(loads);
  return inLanes(good, LANES, async (row, index) => {
    const from = sourceAddress(`127.${100 + sets.indexOf(setOf(row))}`, index);
    return { id: row.id, ...(await ask(world, from, row.authority)) };
  });
}

/** A name of up to 255 bytes and a number for a port: what else a row is about cannot be said in SOCKS5. */
function speaksSocks({ authority }: HostRow): boolean {
  const [, host = '', port = ''] = /^(.*):(\d{1,5})$/s.exec(authority) ?? [];
  return port !== '' && Number(port) <= 65_535 && Buffer.byteLength(host) <= 255;
}

async function runSocks(world: CaseWorld, sets: readonly string[]): Promise<HostResult[]> {
  const good = rows.filter((row) => loads(row) && speaksSocks(row));
  return inLanes(good, LANES, async (row, index) => {
    const from = sourceAddress(`127.${100 + sets.indexOf(setOf(row))}`, SOCKS_CLIENTS + index);
    const bytes = Buffer.concat([greetingBytes(0), requestBytes(row.authority)]);
    const heard = await say({ port: world.port, from, bytes });
    const records = await world.recordsOf(from);
    return { id: row.id, heard, records, recordProblem: recordProblem(records) };
  });
}

async function runBroken(row: HostRow): Promise<{ result: HostResult; check: HostReport['checks'][number] }> {
  const world = await startCaseWorld({
    policies: { 'rows.yaml': policyOf(row, 'rows', '127.0.0.0/8') },
    zone: zone(),
  });
  const result = { id: row.id, ...(await ask(world, '127.1.1.1', row.authority)) };
  const program = path.join(ROOT, 'src/sallyport.js');
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [program, 'check', '--config', world.config],
    { encoding: 'utf8' },
  );
  await world.stop();
  return { result, check: { status, output: stdout + stderr } };
}

/** A name that was public when it was first asked for, and is loopback afterwards. */
async function rebind(world: CaseWorld, recorded: () => string[]): Promise<HostReport['rebinding']> {
  const before = recorded().filter((at) => at === '127.0.0.1').length;
  let count = 0;
  const once = async (): Promise<string> =>
    (await ask(world, sourceAddress('127.90', count++), 'rebind.evil.test:443')).heard.text;
  const first = await once();
  let later = '';
  await eventually(async () => {
    later = await once();
    return !later.startsWith('HTTP/1.1 200');
  }).catch(() => undefined);
  return { first, later, loopback: recorded().filter((at) => at === '127.0.0.1').length - before };
}

async function askOwn(): Promise<HostReport['own']> {
  const names = {
    'v4.own.test': OWN_PUBLIC_IP,
    'v6.own.test': OWN_PUBLIC_IP6,
    'listener.own.test': LISTEN_IP,
    'other.test': '51.15.88.89',
  };
  const policy = JSON.stringify({
    version: 1,
    group: 'any',
    identify: { sources: ['127.0.0.0/8', `${LISTEN_IP}/32`] },
    rules: [{ allow: '*' }],
  });
  const answers = Object.entries(names).map(([name, address]) => [name, script([address])] as const);
  const world = await startCaseWorld({
    policies: { 'any.yaml': policy },
    zone: Object.fromEntries(answers),
    listen: `${LISTEN_IP}:0`,
  });
  const own: { name: string; text: string; reason: string | null }[] = [];
  for (const name of Object.keys(names)) {
    const heard = await say({
      host: LISTEN_IP,
      port: world.port,
      from: LISTEN_IP,
      bytes: connectBytes(`${name}:443`),
    });
    await eventually(() => world.audit().some((record) => record.host === name));
    const reason =
      world.audit().find((record) => record.host === name && record.kind === 'decision')?.reason ?? null;
    own.push({ name, text: heard.text, reason });
  }
  await world.stop();
  return own;
}

async function main(): Promise<void> {
  setUpNetwork();
  const recorders = await Promise.all([443, 80, 8443].map((port) => startRecorder(port)));
  const recorded = (): string[] => recorders.flat().map(({ at }) => at);
  const good = rows.filter(loads);
  const sets = [...new Set(good.map(setOf))];
  const policies: Record<string, string> = {
    'any.yaml': JSON.stringify({
      version: 1,
      group: 'any',
      identify: { sources: ['127.90.0.0/16'] },
      rules: [{ allow: '*' }],
    }),
  };
  for (const [number, set] of sets.entries()) {
    const row = good.find((each) => setOf(each) === set);
    if (row !== undefined)
      policies[`set-${number}.yaml`] = policyOf(row, `set-${number}`, `127.${100 + number}.0.0/16`);
  }
  const rebinding = {
    'rebind.evil.test': [
      { a: ['8.8.8.8'], ttl: 1 },
      { a: ['127.0.0.1'], ttl: 1 },
    ],
  };
  const world = await startCaseWorld({ policies, zone: { ...zone(), ...rebinding } });
  const results = await runLoadable(world, sets);
  const connections = recorded();
  const queried = [...new Set(world.dns.queries.map(({ name }) => name))];
  const socks = await runSocks(world, sets);
  const rebound = await rebind(world, recorded);
  await eventually(async () => (await counterProblem(world)) === null).catch(() => undefined);
  const counters = await counterProblem(world);
  await world.stop();
  const broken = await Promise.all(rows.filter((row) => !loads(row)).map(runBroken));
  const report: HostReport = {
    rows: [...results, ...broken.map(({ result }) => result)],
    socks,
    connections,
    queried,
    checks: broken.map(({ check }) => check),
    counters,
    rebinding: rebound,
    own: await askOwn(),
  };
  process.stdout.write(JSON.stringify(report));
}

if (import.meta.main) await main();
