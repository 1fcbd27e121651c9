/**
 * A copy of the record that can be proved later: the files of every chain with their checkpoints, the signed list of the
 * chains, and the public key. Works beside a running writer: what vouches is copied before what it vouches for.
 */
import { copyFileSync, existsSync, mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { CHAINS_FILE } from './chain-list.ts';
import { type ChainReport, chainFolders, verifyChains } from './chains.ts';
import { CHECKPOINT_FILE, checkpointKeyPath, loadCheckpointPublicKey } from './checkpoint.ts';
import { listAuditFiles } from './files.ts';
import { eachLine } from './lines.ts';

export type Evidence = { readonly files: number; readonly chains: readonly ChainReport[] };

/** Beside the copy. */
export const PUBLIC_KEY_FILE = 'audit.pub.pem';

/** `root`: the audit folder; `to`: a new folder, in which `audit/` is made. Throws the file system's errors. */
export function copyEvidence(root: string, to: string): Evidence {
  const copy = join(to, 'audit');
  mkdirSync(copy, { recursive: true, mode: 0o700 });
  const key = loadCheckpointPublicKey(checkpointKeyPath(root));
  if (key !== null)
    writeFileSync(join(to, PUBLIC_KEY_FILE), key.export({ type: 'spki', format: 'pem' }), { mode: 0o600 });
  const folders = chainFolders(root).map((from) => ({ from, into: join(copy, relative(root, from)) }));
  copyIfThere(join(root, CHAINS_FILE), join(copy, CHAINS_FILE));
  for (const { from, into } of folders) {
    mkdirSync(into, { recursive: true, mode: 0o700 });
    copyIfThere(join(from, CHECKPOINT_FILE), join(into, CHECKPOINT_FILE));
  }
  let files = 0;
  for (const { from, into } of folders) {
    for (const { path, name } of listAuditFiles(from)) {
      copyFileSync(path, join(into, name));
      cutTornLine(join(into, name));
      files += 1;
    }
  }
  return { files, chains: verifyChains(copy, key) };
}

function copyIfThere(from: string, to: string): void {
  if (existsSync(from)) copyFileSync(from, to);
}

/** The writer may have been in the middle of a batch. */
function cutTornLine(path: string): void {
  let whole = 0;
  eachLine(path, (line) => {
    whole += line.length + 1;
  });
  truncateSync(path, whole);
}
