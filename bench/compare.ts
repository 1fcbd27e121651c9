/** The bench: Sallyport and its peers side by side on one core each in turn. See README.md. */
import { randomInt } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { type Material, prepareMaterial } from './harness/material.ts';
import { type Running, startPinned } from './harness/process.ts';
import { goalTable, joined, judge, markdown, type RowResult, rowTable } from './harness/report.ts';
import { ROWS, type Row } from './harness/rows.ts';
import { type Plan, runRow } from './harness/run.ts';
import { externalPeer } from './peers/external.ts';
import { nginx } from './peers/nginx.ts';
import { floor, mockttp, proxyChain } from './peers/node-peers.ts';
import type { Peer, Upstream } from './peers/peer.ts';
import { otherTree, sallyport, withoutKeys } from './peers/sallyport.ts';
import { squid, squidRsa } from './peers/squid.ts';
import { tinyproxy } from './peers/tinyproxy.ts';

const PROXY_CORE = 0;
const LOAD_CORE = 1;
const UP_H2 = join(import.meta.dirname, 'load', 'up-h2.ts');
const PEERS: readonly Peer[] = [
  sallyport,
  withoutKeys,
  squid,
  squidRsa,
  nginx,
  tinyproxy,
  floor,
  proxyChain,
  mockttp,
];

const HELP = `Usage: npm run bench -- [options]

Starts Sallyport and its peers on core ${PROXY_CORE}, load and upstream on core ${LOAD_CORE}, all on 127.0.0.1,
and compares processor time per operation, pairwise within each round.

  --rows a,b         rows to run (${ROWS.map((row) => row.id).join(', ')})
  --peers a,b        built-in participants (${PEERS.map((peer) => peer.name).join(', ')})
  --peer name=host:port   another proxy that already runs on this machine; may be repeated
  --tree name=DIR    Sallyport of another checkout, for before and after; may be repeated
  --rounds N         rounds per row and start, 1 to 50 (default 5)
  --starts N         times that all of a row's participants are started anew, 1 to 20 (default 1): two processes of the
                     same program may differ by a fifth for as long as they run
  --seconds S        measured seconds per participant and round, 0.2 to 60 (default 3)
  --warm S           unmeasured load before the rounds, per participant and row, 0.2 to 60 (default 10)
  --json FILE        results with every sample
  --out FILE         results as Markdown (default bench/results/compare.md)
  --help             this text

Exit status: 0 all that was measured of Sallyport reached what is asked, 1 something did not, 2 wrong use.
`;

type Options = {
  rows: Row[];
  peers: Peer[];
  rounds: number;
  starts: number;
  seconds: number;
  warm: number;
  json: string | undefined;
  out: string;
};

async function main(): Promise<number> {
  const options = readOptions();
  if (options === null) return 0;
  if (availableParallelism() < 2)
    process.stderr.write('warning: one core only: figures are not comparable\n');
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  const material = prepareMaterial();
  try {
    return write(options, await measureAll(options, material, stop.signal));
  } finally {
    material.remove();
  }
}

async function measureAll(options: Options, material: Material, signal: AbortSignal): Promise<RowResult[]> {
  const running: Running[] = [];
  try {
    const behind = await startUpstream(material, LOAD_CORE);
    running.push(behind.running);
    // Load and upstream on one core would hand over without waking another: no way through a proxy can do that.
    const direct = await startUpstream(material, PROXY_CORE);
    running.push(direct.running);
    const setting = {
      material,
      upstream: behind.upstream,
      directUpstream: direct.upstream,
      core: PROXY_CORE,
    };
    return await runRows(options, setting, signal);
  } finally {
    for (const one of running) await one.stop();
  }
}

async function runRows(
  options: Options,
  setting: Plan['setting'],
  signal: AbortSignal,
): Promise<RowResult[]> {
  const { peers, rounds, seconds, warm: warmSeconds } = options;
  const say = (line: string) => process.stderr.write(`${line}\n`);
  const results: RowResult[] = [];
  for (const row of options.rows) {
    if (signal.aborted) break;
    const plan = { setting, peers, rounds, seconds, warmSeconds, loadCore: LOAD_CORE, say, signal };
    const starts: RowResult[] = [];
    while (starts.length < options.starts && !signal.aborted) starts.push(await runRow(row, plan));
    const result = joined(row, starts);
    results.push(result);
    const skipped = result.skipped.map((line) => `skipped ${line}\n`).join('');
    process.stdout.write(`\n${row.title}\n${rowTable(result).join('\n')}\n${skipped}`);
  }
  return results;
}

function write(options: Options, results: readonly RowResult[]): number {
  process.stdout.write(`\nWhat is asked, and what was reached\n${goalTable(results).join('\n')}\n`);
  const about = [
    `${new Date().toISOString()}, Node ${process.version}, ${cpus()[0]?.model ?? 'unknown processor'}, ${cpus().length} cores`,
    `${options.starts} times ${options.rounds} rounds of ${options.seconds} s, each time with processes of their own and after ${options.warm} s of warm-up; medians; ratios are medians of ratios within a round`,
    'proxy on one core; load generator and upstream together on another; all on 127.0.0.1',
  ];
  save(options.out, markdown(results, about));
  if (options.json !== undefined) {
    const rows = results.map(({ row, series, skipped }) => ({
      id: row.id,
      title: row.title,
      series,
      skipped,
    }));
    save(options.json, `${JSON.stringify({ about, rows, goals: results.flatMap(judge) }, null, 2)}\n`);
  }
  return results.flatMap(judge).some((goal) => goal.outcome === 'not reached') ? 1 : 0;
}

function save(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  process.stderr.write(`wrote ${path}\n`);
}

/** The upstream takes six ports in a row, the HTTP/2 one the seventh; a range that is taken is left for another. */
async function startUpstream(
  material: Material,
  core: number,
): Promise<{ upstream: Upstream; running: Running }> {
  let last: unknown;
  for (let attempt = 0; attempt < 20; attempt++) {
    const base = randomInt(20_000, 30_000); // below the ports that the system gives out by itself
    const authorization = `Bearer ${material.realKey}`;
    const args = [String(base), material.cert, material.key, authorization];
    const log = join(material.dir, `up-${base}.log`);
    const parts: Running[] = [];
    const running: Running = {
      pids: () => parts.flatMap((part) => part.pids()),
      stop: async () => {
        for (const part of parts) await part.stop();
      },
    };
    try {
      const [one, two] = [base + 6, base + 7];
      const rest = [String(two), ...args.slice(1)];
      const { execPath } = process;
      parts.push(await startPinned({ name: 'upstream', core, command: material.up, args, port: one, log }));
      parts.push(
        await startPinned({
          name: 'upstream h2',
          core,
          command: execPath,
          args: [UP_H2, ...rest],
          port: two,
          log,
        }),
      );
      return { upstream: portsFrom(base, authorization), running };
    } catch (error) {
      await running.stop();
      last = error;
    }
  }
  throw last;
}

/** As `up.c` and `up-h2.ts` count them. */
function portsFrom(base: number, authorization: string): Upstream {
  return {
    tls: base + 1,
    source: base + 2,
    sink: base + 3,
    echo: base + 4,
    plain: base + 5,
    tlsKeys: base + 6,
    h2: base + 7,
    authorization,
  };
}

/** `null` when only the help was asked for; throws TypeError on wrong use. */
function readOptions(): Options | null {
  const { values } = parseArgs({
    options: {
      rows: { type: 'string' },
      peers: { type: 'string' },
      peer: { type: 'string', multiple: true, default: [] },
      tree: { type: 'string', multiple: true, default: [] },
      rounds: { type: 'string', default: '5' },
      starts: { type: 'string', default: '1' },
      seconds: { type: 'string', default: '3' },
      warm: { type: 'string', default: '10' },
      json: { type: 'string' },
      out: { type: 'string', default: join(import.meta.dirname, 'results', 'compare.md') },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return null;
  }
  return {
    rows: chosen(ROWS, values.rows, (row) => row.id),
    peers: [
      ...chosen(PEERS, values.peers, (peer) => peer.name),
      ...values.tree.map(otherTree),
      ...values.peer.map(externalPeer),
    ],
    rounds: Math.floor(within('--rounds', values.rounds, 1, 50)),
    starts: Math.floor(within('--starts', values.starts, 1, 20)),
    seconds: within('--seconds', values.seconds, 0.2, 60),
    warm: within('--warm', values.warm, 0.2, 60),
    json: values.json === undefined ? undefined : resolve(values.json),
    out: resolve(values.out),
  };
}

function chosen<T>(all: readonly T[], names: string | undefined, nameOf: (item: T) => string): T[] {
  if (names === undefined) return [...all];
  return names.split(',').map((name) => {
    const found = all.find((item) => nameOf(item) === name);
    if (found === undefined) throw new TypeError(`unknown: ${name}; there are ${all.map(nameOf).join(', ')}`);
    return found;
  });
}

function within(name: string, text: string, low: number, high: number): number {
  const value = Number(text);
  if (!(value >= low && value <= high)) throw new TypeError(`${name} must be ${low} to ${high}`);
  return value;
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = error instanceof TypeError ? 2 : 1;
}
