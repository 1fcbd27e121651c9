/**
 * A real proxy inside a namespace that `netns.ts` made: `sallyport start --config` as a child process, a name
 * server with real packets, and readers for the public face alone (audit files, metrics, the wire). All
 * addresses but loopback are routed to `lo`, so that every public address reaches a listener of the driver.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type DnsStub, type StubScript, startDnsStub } from './dns-stub.ts';
import { ownEnv } from './run-program.ts';
import { eventually, upstreamAuthority } from './world.ts';

export type AuditRecord = {
  readonly kind: 'decision' | 'end';
  readonly stage: 'connect' | 'request';
  readonly request_id: string;
  readonly group: string | null;
  readonly client: string;
  readonly host: string | null;
  readonly method: string | null;
  readonly path: string | null;
  readonly verdict: string | null;
  readonly reason: string | null;
  readonly status?: number;
  readonly ended?: string;
};

export type CaseWorld = {
  readonly dir: string;
  readonly config: string;
  readonly port: number;
  readonly adminPort: number;
  /** PEM of the interception CA */
  readonly caPem: string;
  readonly dns: DnsStub;
  /** what the proxy wrote to its log */
  log(): string;
  audit(): AuditRecord[];
  /** records of the client with this source address, once as many ends as decisions stand there */
  recordsOf(client: string, atLeast?: number): Promise<AuditRecord[]>;
  metrics(): Promise<string>;
  /** runs a command of the program with this world's settings; returns its output */
  run(args: readonly string[]): string;
  stop(): Promise<void>;
};

const ROOT = path.resolve(import.meta.dirname, '../..');
const PROGRAM = path.join(ROOT, 'src/sallyport.js');
const START_MS = 60_000;
/** On the namespace's second interface: an address of the proxy's own that looks public. */
export const OWN_PUBLIC_IP = '51.15.77.77';
export const OWN_PUBLIC_IP6 = '2a0a:e5c0::77';

/** Once per driver: brings `lo` up, gives it every address, and makes the second interface. */
export function setUpNetwork(): void {
  const ip = (args: string): void => void execFileSync('ip', args.split(' '));
  ip('link set lo up');
  ip('link add out0 type veth peer name out1');
  ip('link set out0 up');
  ip('link set out1 up');
  ip(`addr add ${OWN_PUBLIC_IP}/32 dev out0`);
  ip(`-6 addr add ${OWN_PUBLIC_IP6}/128 dev out0 nodad`);
  ip('route add local 0.0.0.0/0 dev lo');
  ip('-6 route add local ::/0 dev lo');
}

export async function startCaseWorld(options: {
  policies: Readonly<Record<string, string>>;
  zone: Readonly<Record<string, StubScript | readonly StubScript[]>>;
  env?: Readonly<Record<string, string>>;
  /** what `proxy.listen` says */
  listen?: string;
}): Promise<CaseWorld> {
  const dir = mkdtempSync(path.join(tmpdir(), 'sallyport-cases-'));
  const write = (name: string, text: string): string => {
    const file = path.join(dir, name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, text, { mode: 0o600 });
    return file;
  };
  const dns = await startDnsStub(options.zone);
  write('upstream-ca.pem', upstreamAuthority().certPem);
  for (const [name, text] of Object.entries(options.policies)) write(`policies/${name}`, text);
  const config = write(
    'sallyport.yaml',
    [
      `proxy: { listen: "${options.listen ?? '127.0.0.1:0'}", drain: 1s }`,
      'admin: { listen: "127.0.0.1:0" }',
      'tls: { extra_ca: [upstream-ca.pem] }',
      `dns: { servers: ["${dns.address}"] }`,
      '',
    ].join('\n'),
  );
  const env = { ...ownEnv(), ...options.env };
  const started = await startProgram(config, env);
  const auditDir = path.join(dir, '.sallyport', 'audit');
  const audit = (): AuditRecord[] => readRecords(auditDir);
  return {
    dir,
    config,
    port: started.port,
    adminPort: started.adminPort,
    caPem: readFileSync(path.join(dir, 'certs', 'ca.pem'), 'utf8'),
    dns,
    log: started.log,
    audit,
    recordsOf: (client, atLeast = 1) => settledRecords(audit, client, atLeast),
    metrics: async () => await (await fetch(`http://127.0.0.1:${started.adminPort}/metrics`)).text(),
    run: (args) =>
      execFileSync(process.execPath, [PROGRAM, ...args, '--config', config], { encoding: 'utf8', env }),
    stop: async () => {
      await endChild(started.child);
      await dns.close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

type Started = { child: ChildProcess; port: number; adminPort: number; log: () => string };

async function startProgram(config: string, env: NodeJS.ProcessEnv): Promise<Started> {
  const child = spawn(process.execPath, [PROGRAM, 'start', '--config', config], { env });
  let out = '';
  let err = '';
  child.stdout.on('data', (bytes: Buffer) => {
    out += bytes.toString();
  });
  child.stderr.on('data', (bytes: Buffer) => {
    err += bytes.toString();
  });
  const greeting = await eventually(() => {
    if (child.exitCode !== null) return [];
    return /proxy +http:\/\/\S+?:(\d+)\s[\s\S]*admin +http:\/\/\S+?:(\d+)\s/.exec(out);
  }, START_MS);
  if (greeting.length === 0) throw new Error(`start ended with ${child.exitCode}: ${err}`);
  return { child, port: Number(greeting[1]), adminPort: Number(greeting[2]), log: () => err };
}

async function endChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) throw new Error(`the proxy ended by itself with ${child.exitCode}`);
  child.kill('SIGTERM');
  const kill = setTimeout(() => child.kill('SIGKILL'), 5_000);
  await eventually(() => child.exitCode !== null || child.signalCode !== null, 10_000);
  clearTimeout(kill);
}

function readRecords(dir: string): AuditRecord[] {
  const files = readdirSync(dir)
    .filter((name) => name.endsWith('.jsonl'))
    .sort();
  return files
    .flatMap((name) => readFileSync(path.join(dir, name), 'utf8').split('\n'))
    .filter((line) => line.startsWith('{') && line.endsWith('}'))
    .map((line): unknown => JSON.parse(line))
    .filter(isRecord);
}

/** Checkpoints stand in the same files. */
function isRecord(line: unknown): line is AuditRecord {
  const kind = typeof line === 'object' && line !== null && 'kind' in line ? line.kind : null;
  return kind === 'decision' || kind === 'end';
}

async function settledRecords(
  audit: () => AuditRecord[],
  client: string,
  atLeast: number,
): Promise<AuditRecord[]> {
  let mine: AuditRecord[] = [];
  const settled = (): boolean => {
    mine = audit().filter((record) => record.client === client);
    const ends = mine.filter((record) => record.kind === 'end').length;
    return ends >= atLeast && ends * 2 === mine.length;
  };
  // What never settles is for the caller to show: it gets what stands there.
  await eventually(settled, 10_000).catch(() => undefined);
  return mine;
}

/** Every judged thing has one decision and one end, joined by its request id; the sentence that says what is wrong, or null. */
export function recordProblem(records: readonly AuditRecord[]): string | null {
  const byId = Map.groupBy(records, (record) => JSON.stringify([record.stage, record.request_id]));
  for (const [id, group] of byId) {
    const decisions = group.filter((record) => record.kind === 'decision').length;
    const ends = group.filter((record) => record.kind === 'end').length;
    if (decisions !== 1 || ends !== 1) return `${id}: ${decisions} decisions, ${ends} ends`;
  }
  return null;
}

/** Do the counters say what the audit file says? The difference in words, or null. */
const idOf = (record: { stage?: unknown; request_id?: unknown }): string =>
  JSON.stringify([record.stage, record.request_id]);

export async function counterProblem(world: CaseWorld): Promise<string | null> {
  const counted = new Map<string, number>();
  for (const line of (await world.metrics()).split('\n')) {
    const parts = /^sallyport_decisions_total\{(.*)\} (\d+)$/.exec(line);
    // Some rows stand there before anything was counted.
    if (parts === null || parts[2] === '0') continue;
    const label = (name: string): string => new RegExp(`${name}="([^"]*)"`).exec(parts[1] ?? '')?.[1] ?? '';
    const key = [label('group'), label('verdict'), label('reason')].join(' ');
    counted.set(key, (counted.get(key) ?? 0) + Number(parts[2]));
  }
  const records = world.audit();
  const decisions = records.filter((record) => record.kind === 'decision');
  // Let in by its decision and refused by what it then sent: its end says so, and counts as a refusal of its own.
  const refusedFirst = new Set(decisions.filter(({ verdict }) => verdict === 'deny').map(idOf));
  const overturned = records.filter(
    (record) => record.kind === 'end' && record.verdict === 'deny' && !refusedFirst.has(idOf(record)),
  );
  const recorded = new Map<string, number>();
  for (const { group, verdict, reason } of [...decisions, ...overturned]) {
    const key = [group ?? '', verdict ?? '', reason ?? ''].join(' ');
    recorded.set(key, (recorded.get(key) ?? 0) + 1);
  }
  const text = (counts: Map<string, number>): string =>
    [...counts]
      .map(([key, count]) => `${key}=${count}`)
      .sort()
      .join('\n');
  return text(counted) === text(recorded) ? null : `counted:\n${text(counted)}\nrecorded:\n${text(recorded)}`;
}
