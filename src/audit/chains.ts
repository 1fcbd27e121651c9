/**
 * Several chains below one audit folder: that of a single process stands in the folder itself, that of each worker
 * process in `worker-N/`. All are signed by the one key beside the folder. Used by the start and by
 * `audit verify` and `audit tail`, which read all of them.
 */

import type { KeyObject } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { CHAINS_FILE, nameChains, readChainList } from './chain-list.ts';
import { CHECKPOINT_FILE, checkpointKeyPath, loadCheckpointPublicKey } from './checkpoint.ts';
import { listAuditFiles } from './files.ts';
import { type FolderReport, lastLines, linesSince, type TailPosition, verifyFolder } from './read.ts';
import type { AuditTrailOptions } from './trail-options.ts';
import type { Finding } from './verify.ts';
import { openAuditTrail } from './writer.ts';

const WORKER_FOLDER = /^worker-[1-9]\d{0,3}$/;

export type ChainReport = FolderReport & { readonly dir: string };
/** Where the reading of each chain stopped, by folder. */
export type TailPositions = ReadonlyMap<string, TailPosition>;

/** The folder of one worker's chain. `worker`: from 1. */
export function workerChain(root: string, worker: number): string {
  return join(root, `worker-${worker}`);
}

/** The folders that hold a chain: the workers', and the root where it has files or is the only one. */
export function chainFolders(root: string): readonly string[] {
  const names = readdirSync(root, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && WORKER_FOLDER.test(entry.name))
    .map(({ name }) => name);
  names.sort((a, b) => Number(a.slice('worker-'.length)) - Number(b.slice('worker-'.length)));
  const own = listAuditFiles(root).length > 0 || names.length === 0 ? [root] : [];
  return [...own, ...names.map((name) => join(root, name))];
}

/**
 * Walks every chain that is there or that the signed list names. `key`: the checkpoints' public key; default: the one
 * beside the folder.
 */
export function verifyChains(root: string, key: KeyObject | null): readonly ChainReport[] {
  const trusted = key ?? loadCheckpointPublicKey(checkpointKeyPath(root));
  const there = chainFolders(root);
  const list = trusted === null ? [] : readChainList(root, trusted);
  if (typeof list === 'string') {
    const reports = there.map((dir) => ({ dir, ...verifyFolder(dir, trusted) }));
    const lacking = list === 'not_signed' || there.some((dir) => dir !== root);
    if (!lacking) return reports;
    const text =
      list === 'missing' ? 'the list of the chains is missing' : 'the list is not signed by this key';
    return [...reports, faulty(root, { file: CHAINS_FILE, line: 1, what: 'checkpoint', text })];
  }
  const named = list.map((name) => join(root, name));
  const all = [...new Set([...there, ...named])];
  all.sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  return all.map((dir) => {
    if (!existsSync(dir)) {
      const text = `the chain ${relative(root, dir)} is missing`;
      return faulty(dir, { file: CHAINS_FILE, line: 1, what: 'deleted', text });
    }
    const report = verifyFolder(dir, trusted);
    if (report.finding !== null || !named.includes(dir) || existsSync(join(dir, CHECKPOINT_FILE)))
      return { dir, ...report };
    return faulty(dir, {
      file: CHECKPOINT_FILE,
      line: 1,
      what: 'checkpoint',
      text: 'the checkpoint is missing',
    });
  });
}

/** A chain that cannot be walked. */
function faulty(dir: string, finding: Finding): ChainReport {
  return { dir, records: 0, files: 0, first: null, last: null, finding };
}

/** The last `count` lines of all chains by their time, and where the reading stopped. */
export function lastOfChains(root: string, count: number): { lines: string[]; at: TailPositions } {
  const read = chainFolders(root).map((dir) => [dir, lastLines(dir, count)] as const);
  const lines = byTime(read.map(([, { lines: some }]) => some));
  return {
    lines: count === 0 ? [] : lines.slice(-count),
    at: new Map(read.map(([dir, { at }]) => [dir, at])),
  };
}

/** What was written since; a chain that is new is read from its begin. */
export function chainsSince(root: string, from: TailPositions): { lines: string[]; at: TailPositions } {
  const start: TailPosition = { name: null, offset: 0 };
  const read = chainFolders(root).map((dir) => [dir, linesSince(dir, from.get(dir) ?? start)] as const);
  return {
    lines: byTime(read.map(([, { lines }]) => lines)),
    at: new Map(read.map(([dir, { at }]) => [dir, at])),
  };
}

/** Names in the signed list what this run writes and what is there. Returns what was there and is gone. */
export function listChains(root: string, own: readonly string[]): readonly string[] {
  const found = existsSync(root) ? chainFolders(root) : [];
  const rootUsed = own.includes(root) || (existsSync(root) && listAuditFiles(root).length > 0);
  return nameChains(root, own, rootUsed ? found : found.filter((dir) => dir !== root));
}

/**
 * Looks after the chains that nobody writes to any more (the number of workers changed): ends what a crash left
 * open there, deletes what retention no longer wants. `own`: the folders that this run writes to.
 */
export async function tendOtherChains(
  root: string,
  own: ReadonlySet<string>,
  opts: Omit<AuditTrailOptions, 'dir'>,
): Promise<void> {
  if (!existsSync(root)) return;
  const others = chainFolders(root).filter((dir) => !own.has(dir) && listAuditFiles(dir).length > 0);
  for (const dir of others) {
    try {
      await openAuditTrail({ ...opts, dir, keyPath: checkpointKeyPath(root) }).close();
    } catch (error) {
      // Another process still ends its work there: it looks after its chain itself.
      opts.onFailure?.(error instanceof Error ? error : new Error(String(error)));
    }
  }
}

/** Lines of several chains, each in its order, merged by `at`. */
function byTime(chains: readonly (readonly string[])[]): string[] {
  const [only] = chains;
  if (chains.length === 1 && only !== undefined) return [...only];
  const stamped = chains.flat().map((line) => ({ line, at: /"at":"([^"]*)"/.exec(line)?.[1] ?? '' }));
  stamped.sort((a, b) => (a.at < b.at ? -1 : Number(a.at > b.at)));
  return stamped.map(({ line }) => line);
}
