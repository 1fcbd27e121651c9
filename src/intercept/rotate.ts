/**
 * The steps of a change of the interception CA, for `ca rotate`: announce the next one, sign with it, forget the old one,
 * or go back. Each takes effect by one file that is replaced in one step, and may be repeated after a crash. Running
 * proxies follow the files (`live-authority.ts`).
 */
import { renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { syncFolder, writeFileDurable } from '../base/durable.ts';
import { errorCode } from '../base/error-code.ts';
import { holdLock } from '../base/file-lock.ts';
import { authorityPaths, openAuthority, pairOrNew } from './authority.ts';
import { AuthorityError } from './authority-error.ts';
import { readAuthorityFile } from './authority-files.ts';
import { nextPaths, readPair, readStage, type Stage, stagePath } from './rotation.ts';

export type RotationStep = 'announce' | 'switch' | 'finish' | 'cancel';

/** Another command that does the same is done in milliseconds. */
const WAIT_MS = 2_000;

/**
 * Does one step in the CA's folder `dir`. `now`: milliseconds since the epoch. Throws
 * AuthorityError: `wrong_stage` where the step does not come next, and whatever is wrong with the files.
 */
export function rotate(step: RotationStep, dir: string, now: number): void {
  locked(dir, () => {
    const stage = readStage(dir);
    if (stage === 'finishing') moveFiles(dir);
    else STEPS[step](dir, { stage, now });
    if (stage === 'finishing' && step !== 'finish') throw wrongStage('the last change is finished only now');
  });
}

type At = { readonly stage: Exclude<Stage, 'finishing'> | null; readonly now: number };

const STEPS: Readonly<Record<RotationStep, (dir: string, at: At) => void>> = {
  announce: (dir, { stage, now }) => {
    if (stage !== null) throw wrongStage('a change of the CA is under way already');
    if (readAuthorityFile(authorityPaths(dir).cert) === undefined) throw wrongStage('there is no CA yet');
    // One that the operator put there, or one of ours.
    const paths = nextPaths(dir);
    const { files } = pairOrNew({ paths, dir, now });
    openAuthority(paths, files, now);
    setStage(dir, 'announced');
  },
  switch: (dir, { stage, now }) => {
    if (stage === null) throw wrongStage('no change of the CA is under way');
    const paths = nextPaths(dir);
    openAuthority(paths, readPair(paths), now);
    setStage(dir, 'switched');
  },
  finish: (dir, { stage }) => {
    if (stage === null) throw wrongStage('no change of the CA is under way');
    if (stage === 'announced') throw wrongStage('the old CA still signs: switch first');
    setStage(dir, 'finishing');
    moveFiles(dir);
  },
  cancel: (dir, { stage }) => {
    if (stage === null) throw wrongStage('no change of the CA is under way');
    rmSync(stagePath(dir));
    for (const path of Object.values(nextPaths(dir))) rmSync(path, { force: true });
  },
};

/** The new pair takes the old one's names; whatever of it has moved before stays. */
function moveFiles(dir: string): void {
  const [here, next] = [authorityPaths(dir), nextPaths(dir)];
  for (const which of ['key', 'cert'] as const) {
    try {
      renameSync(next[which], here[which]);
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw error;
    }
  }
  // Otherwise a power cut could forget the moves and remember that they were done.
  syncFolder(dir);
  rmSync(stagePath(dir), { force: true });
}

function setStage(dir: string, stage: Stage): void {
  writeFileDurable(stagePath(dir), `${stage}\n`, 0o644);
}

function wrongStage(problem: string): AuthorityError {
  return new AuthorityError('wrong_stage', problem, { fix: '`sallyport ca show` says how far it is' });
}

function locked(dir: string, work: () => void): void {
  const release = holdLock(join(dir, 'rotation.lock'), WAIT_MS);
  if (release === null) {
    throw new AuthorityError('not_creatable', `another process is changing the CA in ${dir}`, {
      fix: 'try again when it is done',
    });
  }
  try {
    work();
  } finally {
    release();
  }
}
