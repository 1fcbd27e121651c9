/** One row: its participants started side by side, measured in turn round by round, and ended. */
import type { Peer, Setting, Started, Upstream } from '../peers/peer.ts';
import { runLoad, type Sample } from './load.ts';
import type { RowResult, Series } from './report.ts';
import type { Row } from './rows.ts';

export type Plan = {
  readonly setting: Setting & {
    /** upstream on the proxy's core, for rows that are also measured without a proxy */
    readonly directUpstream: Upstream;
  };
  readonly peers: readonly Peer[];
  readonly rounds: number;
  readonly seconds: number;
  /** unmeasured load that each participant gets first: compilers and caches of some need it */
  readonly warmSeconds: number;
  /** core of the load generator and the upstream */
  readonly loadCore: number;
  readonly say: (line: string) => void;
  /** aborts between two measurements */
  readonly signal: AbortSignal;
};

type Participant = {
  readonly name: string;
  readonly peer: Peer | null;
  started: Started | null;
  samples: Sample[];
};

/** Measures `row`; a peer that is missing or does not start is named in `skipped` and left out. */
export async function runRow(row: Row, plan: Plan): Promise<RowResult> {
  const participants: Participant[] = [];
  const skipped: string[] = [];
  try {
    for (const peer of plan.peers.filter((one) => takesPart(one, row))) {
      const missing = peer.missing();
      if (!can(peer, row)) skipped.push(`${peer.name}: does not do ${row.needs} here`);
      else if (missing.length > 0) skipped.push(`${peer.name}: needs ${missing.join(', ')}`);
      else await enter(peer, row, plan, participants, skipped);
    }
    if (row.direct) participants.push({ name: 'direct', peer: null, started: null, samples: [] });
    for (const participant of row.fresh ? [] : participants) {
      plan.signal.throwIfAborted();
      plan.say(`${row.id}: ${participant.name} warms up for ${plan.warmSeconds} s`);
      await load(participant.started, row, plan, plan.warmSeconds);
    }
    for (let round = 0; round < plan.rounds; round++) {
      for (const participant of rotated(participants, round)) {
        plan.signal.throwIfAborted();
        const sample = await measure(participant, row, plan);
        participant.samples.push(sample);
        plan.say(`${row.id} round ${round + 1}: ${participant.name} ${sample.fault || summary(row, sample)}`);
      }
    }
  } finally {
    for (const { started } of participants) await started?.stop();
  }
  const series: Series[] = participants.map(({ name, samples }) => ({ name, samples }));
  return { row, series, skipped };
}

function takesPart(peer: Peer, row: Row): boolean {
  return peer.paths.includes(row.path) && (peer.rows?.includes(row.id) ?? true);
}

/** A proxy that we know nothing of may try. */
function can(peer: Peer, row: Row): boolean {
  return row.needs === undefined || (peer.features?.includes(row.needs) ?? true);
}

async function enter(
  peer: Peer,
  row: Row,
  plan: Plan,
  into: Participant[],
  skipped: string[],
): Promise<void> {
  try {
    // Rows on memory start a process per round instead; this one only proves that it can start.
    const started = await peer.start(plan.setting, row.path);
    into.push({ name: peer.name, peer, started, samples: [] });
  } catch (error) {
    skipped.push(`${peer.name}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

async function measure(participant: Participant, row: Row, plan: Plan): Promise<Sample> {
  if (!row.fresh || participant.peer === null) return load(participant.started, row, plan, plan.seconds);
  await participant.started?.stop();
  participant.started = await participant.peer.start(plan.setting, row.path);
  // As many once before: what code, caches and heaps grow by is not memory of the idle ones that are measured.
  await runLoad({
    lg: plan.setting.material.lg,
    core: plan.loadCore,
    args: row.args(participant.started, plan.setting.upstream),
    pids: [],
    seconds: 1,
  });
  return load(participant.started, row, plan, 1);
}

function load(started: Started | null, row: Row, plan: Plan, seconds: number): Promise<Sample> {
  const { material, directUpstream } = plan.setting;
  const upstream = started === null ? directUpstream : plan.setting.upstream;
  const direct = {
    port: upstream.tls,
    host: '127.0.0.1',
    direct: true,
    authorization: upstream.authorization,
  };
  const args = row.args(started ?? direct, upstream);
  const pids = started?.pids() ?? [];
  const common = { lg: material.lg, core: plan.loadCore, pids };
  if (row.times === undefined) return runLoad({ ...common, args, seconds });
  const { operations, atMost } = row.times;
  return runLoad({ ...common, args: [...args, '-n', String(operations)], seconds: atMost, warmUp: 0 });
}

/** Each round starts with another participant, so that none always runs after the same one. */
function rotated<T>(items: readonly T[], by: number): T[] {
  const cut = items.length === 0 ? 0 : by % items.length;
  return [...items.slice(cut), ...items.slice(0, cut)];
}

function summary(row: Row, sample: Sample): string {
  return row.columns.map((column) => `${column} ${sample[column]}`).join(', ');
}
