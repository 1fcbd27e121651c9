/**
 * I4 when power goes: processes are killed at 200 random moments while they work. What was answered, and what an
 * upstream saw, stands in the record, and the chain is whole once the next process has gone on with it.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import { expect, it, onTestFinished } from 'vitest';
import { verifyChains } from '../../src/audit/chains.ts';
import { verifyFolder } from '../../src/audit/read.ts';
import { alive, childrenOf, type Running, startProcess } from '../cli/process-harness.ts';
import { policy } from '../helpers/scene.ts';
import { open } from '../helpers/talk.ts';
import { rawUpstream } from '../helpers/upstream.ts';
import { eventually } from '../helpers/world.ts';
import { linesOf, openTrail, parsed, recordMany, stateDir } from '../unit/audit/samples.ts';

const LIMIT_MS = 120_000;
const LANES = 4;
/** A start after a crash reads the chain, so that many short ones cost less than a long one. */
const CHAINS_PER_LANE = 6;
const KILLS_PER_CHAIN = 8;
const KILLS = LANES * CHAINS_PER_LANE * KILLS_PER_CHAIN;
const ROWS = 2;
/** Whole proxies that are killed: a start costs half a second of a processor, so all 200 of them only where somebody asks. */
const PROXIES = Number(process.env['SALLYPORT_CRASH_STARTS'] ?? 12);
/** Starts on one state folder, one after the other, with the processes that each has; two such rows run at a time. */
const STARTS = [1, 1, 2, 1, 1, 1];
const ROUNDS = Math.ceil(PROXIES / ROWS / STARTS.length);
const CLIENTS = 6;

/** Writes records and ends as fast as it can, and prints the flow of each decision that was acknowledged. */
const WRITER = `
import { writeSync } from 'node:fs';
import { openAuditTrail } from ${JSON.stringify(new URL('../../src/audit/writer.ts', import.meta.url).href)};
import { systemClock } from ${JSON.stringify(new URL('../../src/base/clock.ts', import.meta.url).href)};
import { decision } from ${JSON.stringify(new URL('../unit/audit/child-events.ts', import.meta.url).href)};
const [dir, sync] = process.argv.slice(1);
if (dir === undefined) process.exit(0);
const trail = openAuditTrail({ dir, sync, clock: systemClock, maxFileBytes: 40_000 });
let n = 0;
const next = () => {
  const flow = process.pid + '-' + (n += 1);
  const event = decision(flow);
  trail.decision(event, (failed) => {
    if (failed === null) writeSync(1, flow + '\\n');
    const came = { status: 200, bytesUp: 1, bytesDown: 2, ms: 3, overheadMs: 0, ended: 'done', scrubbed: [] };
    trail.end({ ...event, ...came, kind: 'end' });
    next();
  });
};
for (let lane = 0; lane < 8; lane += 1) next();
`;

function freshDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-crash-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

function writer(cache: string, args: readonly string[]): ChildProcessByStdio<null, Readable, null> {
  return spawn(process.execPath, ['--input-type=module', '-e', WRITER, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, NODE_COMPILE_CACHE: cache },
  });
}

/** Kills one writer while it works, one in four while it starts. Returns the flows that it had acknowledged. */
async function killedWriter(cache: string, dir: string, sync: 'batch' | 'always'): Promise<string[]> {
  const child = writer(cache, [dir, sync]);
  const kill = (withinMs: number): void => {
    setTimeout(() => child.kill('SIGKILL'), Math.random() * withinMs);
  };
  const early = Math.random() < 0.25;
  if (early) kill(200);
  let seen = '';
  const closed = once(child, 'close');
  child.stdout.on('data', (bytes: Buffer) => {
    if (seen === '' && !early) kill(15);
    seen += bytes.toString('utf8');
  });
  expect(await closed).toEqual([null, 'SIGKILL']);
  return seen.split('\n').slice(0, -1);
}

async function killedChain(cache: string, sync: 'batch' | 'always'): Promise<void> {
  const dir = join(stateDir(), 'audit');
  const acknowledged: string[] = [];
  for (let kill = 0; kill < KILLS_PER_CHAIN; kill += 1) {
    acknowledged.push(...(await killedWriter(cache, dir, sync)));
  }
  const trail = openTrail(dir);
  await recordMany(trail, 1);
  await trail.close();
  expect(verifyFolder(dir).finding).toBeNull();
  const flows = new Set(linesOf(dir).map((line) => parsed(line)['flow']));
  expect(acknowledged.length).toBeGreaterThan(0);
  expect(acknowledged.filter((flow) => !flows.has(flow))).toEqual([]);
}

it(
  `a writer killed at ${KILLS} random moments loses no acknowledged record, and the next one goes on with a whole chain`,
  async () => {
    // What Node compiled; left behind for the others by one that ends well.
    const cache = freshDir();
    await once(writer(cache, []), 'close');
    const lane = async (): Promise<void> => {
      for (let n = 0; n < CHAINS_PER_LANE; n += 1) await killedChain(cache, n % 2 === 0 ? 'batch' : 'always');
    };
    await Promise.all(Array.from({ length: LANES }, lane));
  },
  LIMIT_MS,
);

it(
  `of a proxy killed ${ROWS * ROUNDS * STARTS.length} times under load, the upstream saw no request without a decision record, and the chain is whole`,
  async () => {
    const upstream = await tellingUpstream();
    onTestFinished(() => upstream.close());
    const { port, seen } = upstream;
    const row = async (name: string): Promise<void> => {
      const kept = freshDir();
      for (const [round, workers] of STARTS.entries())
        await killedProxy({ kept, port, workers, seen, name: `${name}-${round}` });
      const mine = [...seen].filter((path) => path.startsWith(`/${name}-`));
      expect(mine.length).toBeGreaterThan(STARTS.length * CLIENTS);
      await recoveredProxy(kept, port, mine);
    };
    const rows = async (n: number): Promise<void> => {
      for (let round = 0; round < ROUNDS; round += 1) await row(`row${n}-${round}`);
    };
    await Promise.all(Array.from({ length: ROWS }, (_, n) => rows(n)));
  },
  LIMIT_MS * ROUNDS,
);

/** Notes the path of each request as soon as its first line is there; answers each. */
async function tellingUpstream(): Promise<{ port: number; seen: Set<string>; close: () => Promise<void> }> {
  const seen = new Set<string>();
  const upstream = await rawUpstream((socket) => {
    let text = '';
    socket.on('data', (bytes: Buffer) => {
      text += bytes.toString('latin1');
      for (const [, path = ''] of text.matchAll(/GET (\/\S+) HTTP/g)) seen.add(path);
      if (!text.endsWith('\r\n\r\n')) return;
      text = '';
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    });
  });
  return { port: upstream.port, seen, close: () => upstream.close() };
}

/** Starts a proxy on the state of the one before, kills it while it works, and keeps its state for the next. */
async function killedProxy(of: {
  kept: string;
  port: number;
  workers: number;
  seen: ReadonlySet<string>;
  name: string;
}): Promise<void> {
  const { kept, port, workers, seen, name } = of;
  const running = await startedOn(kept, port, workers);
  try {
    const clients = Array.from({ length: CLIENTS }, (_, n) => load(running.port, port, `${name}-${n}`));
    const wanted = seen.size + CLIENTS * (1 + Math.random() * 20);
    await eventually(() => seen.size > wanted, LIMIT_MS);
    await pause(Math.random() * 10);
    await killAll(running);
    await Promise.all(clients);
    rmSync(kept, { recursive: true });
    cpSync(stateOf(running), kept, { recursive: true });
  } finally {
    await running.remove();
  }
}

/** The next start mends what the kills left; then the record holds a decision for each path, and an end for each decision. */
async function recoveredProxy(kept: string, port: number, paths: readonly string[]): Promise<void> {
  const running = await startedOn(kept, port, 2);
  try {
    running.child.kill('SIGTERM');
    await running.gone;
    for (const chain of verifyChains(join(stateOf(running), 'audit'), null)) {
      expect(chain).toMatchObject({ finding: null });
    }
    const all = running.records();
    const decided = new Set(all.filter(({ kind }) => kind === 'decision').map(({ path }) => path));
    expect(paths.filter((path) => !decided.has(path))).toEqual([]);
    const idsOf = (wanted: string): string[] =>
      all
        .filter(({ kind }) => kind === wanted)
        .map(({ stage, request_id: id }) => `${String(stage)} ${String(id)}`);
    expect(idsOf('end').sort()).toEqual(idsOf('decision').sort());
  } finally {
    await running.remove();
  }
}

const stateOf = (running: Running): string => join(running.home.dir, '.sallyport');

/** A proxy that goes on with the state folder of the one before. */
function startedOn(kept: string, port: number, workers: number): Promise<Running> {
  return startProcess({
    policies: { 'agents.yaml': policy([`allow: "web.test:${port}", addresses: [127.0.0.0/8]`]) },
    settings: `proxy: { listen: "127.0.0.1:0", workers: ${workers}, drain: 1s }
admin: { listen: "127.0.0.1:0" }
dns: { hosts: { "web.test": [127.0.0.1] } }
`,
    prepare: async ({ dir }) => {
      if (existsSync(join(kept, 'audit'))) cpSync(kept, join(dir, '.sallyport'), { recursive: true });
    },
  });
}

/** One request after the other, each with a path of its own, until the proxy is gone. */
async function load(proxy: number, upstream: number, name: string): Promise<void> {
  const client = await open(proxy);
  try {
    for (let n = 0; ; n += 1) {
      await client.ask(
        `GET http://web.test:${upstream}/${name}-${n} HTTP/1.1\r\nHost: web.test:${upstream}\r\n\r\n`,
      );
    }
  } catch {
    // The proxy was killed, as it should be.
  } finally {
    client.destroy();
  }
}

/** All of its processes at once, as the kernel or a power cut would. */
async function killAll({ child, gone }: Running): Promise<void> {
  const pids = [child.pid ?? 0, ...childrenOf(child.pid)];
  for (const pid of pids) process.kill(pid, 'SIGKILL');
  await gone;
  await eventually(() => !pids.some(alive));
}
