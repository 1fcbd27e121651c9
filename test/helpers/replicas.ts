/** Replicas of a test's own: a state folder each, followed as a running proxy follows it, and one Redis. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { onTestFinished } from 'vitest';
import type { OperatorEvent } from '../../src/audit/event.ts';
import { systemClock } from '../../src/base/clock.ts';
import { createLog } from '../../src/base/log.ts';
import { openTokenStore, type TokenStore } from '../../src/identify/token.ts';
import { openReplicas, type Replicas } from '../../src/replicas/replicas.ts';
import type { LockdownStore } from '../../src/state/lockdown.ts';
import { openLockdown } from '../../src/state/lockdown-file.ts';

export type Machine = {
  readonly dir: string;
  readonly replicas: Replicas;
  readonly tokens: TokenStore;
  readonly lockdown: LockdownStore;
  readonly log: () => string;
  /** what its record would tell of what people did elsewhere */
  readonly taken: readonly OperatorEvent[];
};

export type MachineOptions = {
  readonly port: number;
  /** default: 127.0.0.1 */
  readonly host?: string;
  readonly key: Buffer;
  readonly name?: string;
  readonly password?: string;
  readonly username?: string;
  /** certificates that may vouch for Redis: then by TLS */
  readonly ca?: readonly string[];
  readonly answerMs?: number;
  readonly lookEveryMs?: number;
  readonly dir?: string;
};

/** The contract's second, and room for a machine that does other things beside this test. */
export const SOON_MS = 30_000;
const PATIENT_MS = 2_000;

/** Gone when the test is. */
export function machine(opts: MachineOptions): Machine {
  const dir = opts.dir ?? mkdtempSync(path.join(tmpdir(), 'sallyport-replica-'));
  const stream = new PassThrough();
  let logged = '';
  stream.on('data', (bytes: Buffer) => {
    logged += bytes.toString();
  });
  const { port, host = '127.0.0.1', key, username, password, ca = null, name, lookEveryMs } = opts;
  const replicas = openReplicas({
    place: { host, port, db: 0, username, password, ca },
    key,
    dir,
    clock: systemClock,
    log: createLog({ stream }),
    version: 'test',
    answerMs: opts.answerMs ?? PATIENT_MS,
    ...(name === undefined ? {} : { name }),
    ...(lookEveryMs === undefined ? {} : { lookEveryMs }),
  });
  const taken: OperatorEvent[] = [];
  replicas.onTaken((event) => taken.push(event));
  const tokens = openTokenStore({ dir, clock: systemClock, watch: true });
  const lockdown = openLockdown({ dir, clock: systemClock, watch: true });
  onTestFinished(async () => {
    await replicas.close();
    tokens.close();
    lockdown.close();
    rmSync(dir, { recursive: true, force: true });
  });
  return { dir, replicas, tokens, lockdown, taken, log: () => logged };
}

/** So many, named `one`, `two`, …, which have heard of each other's Redis. */
export async function machines(count: 2 | 3, opts: MachineOptions): Promise<[Machine, Machine, Machine]> {
  const [one, two] = [machine({ ...opts, name: 'one' }), machine({ ...opts, name: 'two' })];
  const three = count === 3 ? machine({ ...opts, name: 'three' }) : two;
  for (const { replicas } of [one, two, three]) {
    if (!(await replicas.settled(SOON_MS))) throw new Error('Redis does not answer');
  }
  return [one, two, three];
}

export function take(of: Machine, amount: number): Promise<number> {
  return new Promise((resolve) => {
    of.replicas.store.take({ key: 'requests g', rate: { amount, perMs: 3_600_000 }, amount: 1 }, resolve);
  });
}

export function hold(of: Machine, max: number): Promise<boolean> {
  return new Promise((resolve) => {
    of.replicas.store.hold({ key: 'connections g', max }, resolve);
  });
}

export function spend(of: Machine, amount: number): Promise<number> {
  return new Promise((resolve) => {
    const budget = { amount: 100, perMs: 86_400_000 };
    of.replicas.store.spend({ key: 'upload g', budget, amount }, resolve);
  });
}

export function newKey(): Buffer {
  return randomBytes(32);
}
