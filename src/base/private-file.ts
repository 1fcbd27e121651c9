/**
 * Is a file or folder that holds keys closed to everybody but the user that the proxy runs as. Asked by the start
 * and by whoever reads such a file: a key that others could read, or that others could put in place of ours, is not
 * used (fail closed), and the words say what to run.
 */
import { lstatSync, type Stats, statSync } from 'node:fs';

export type Closed = {
  /** permission bits that must not be set; default: any for group and others */
  readonly forbidden?: number;
  /** may the name be a link that we or root made: folders of service managers and mounted secrets are; default: no */
  readonly link?: boolean;
};

/** The user of this process; root's own checks are the system's. */
const ROOT = 0;
const OTHERS = 0o077;

/**
 * What is wrong with `path`, with the fix; `null`: it is closed. `me`: this process's user id (`null`: a system
 * without). Throws the file system's errors, `ENOENT` too.
 */
export function exposure(path: string, closed: Closed = {}, me: number | null = ownId()): string | null {
  const name = lstatSync(path);
  if (name.isSymbolicLink()) {
    if (closed.link !== true) return `${path} is a symbolic link; put the file itself there`;
    if (!isTrusted(name, me))
      return `${path} is a link that user ${name.uid} made; put the file itself there`;
  }
  return exposureOf(path, statSync(path), closed, me);
}

/** The same for what was already looked at, such as an open file; the name's own kind is not judged. */
export function exposureOf(
  path: string,
  found: Pick<Stats, 'mode' | 'uid' | 'isDirectory'>,
  { forbidden = OTHERS }: Closed = {},
  me: number | null = ownId(),
): string | null {
  if (!isTrusted(found, me)) return `${path} belongs to user ${found.uid}; run: chown ${me} ${path}`;
  if ((found.mode & forbidden) === 0) return null;
  const fix = found.isDirectory() ? '700' : '600';
  const mode = (found.mode & 0o777).toString(8).padStart(4, '0');
  return `${path} is open to others than its owner (mode ${mode}); run: chmod ${fix} ${path}`;
}

/** Root may use what anybody owns: in containers the files of a bind mount belong to a user of the host. */
function isTrusted({ uid }: Pick<Stats, 'uid'>, me: number | null): boolean {
  return me === null || me === ROOT || uid === me || uid === ROOT;
}

function ownId(): number | null {
  return process.geteuid?.() ?? null;
}
