/**
 * A changeover from one interception CA to the next, as it lies in the CA's folder: two pairs beside each other, and one
 * word in the file `rotation` that says which of them signs. The word is replaced in one step, so no crash leaves
 * half of one. Both are published before the new one signs: a client that knows the old one alone would refuse it, and a
 * cross-certificate does not help, since our CA may sign leaves only. The steps are in `rotate.ts`.
 */
import type { X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import {
  type AuthorityPaths,
  authorityPaths,
  type CertificateAuthority,
  loadOrCreateAuthority,
  openAuthority,
  readCertificates,
} from './authority.ts';
import { AuthorityError } from './authority-error.ts';
import { type AuthorityFile, readAuthorityFile, readKeyFile } from './authority-files.ts';
import { pemOf } from './certificate.ts';

/**
 * `announced`: both are published, the old one signs. `switched`: both are published, the new one signs. `finishing`: the
 * new one is alone, and its files are on their way to the names of the old one.
 */
export type Stage = 'announced' | 'switched' | 'finishing';

const STAGES: readonly Stage[] = ['announced', 'switched', 'finishing'];

/** The CAs in force. */
export type Authorities = {
  readonly signer: CertificateAuthority;
  /** null: no changeover */
  readonly stage: Stage | null;
  /** what sandboxes are to trust: the newest CA first, by which scripts tell whether they have it */
  readonly publishedPem: string;
  /** of the CA that is published beside the signer */
  readonly other: X509Certificate | null;
};

/** How far the changeover is; null: there is none. Throws AuthorityError `malformed` for another word: fail closed. */
export function readStage(dir: string): Stage | null {
  const path = stagePath(dir);
  const text = readAuthorityFile(path)?.trim();
  if (text === undefined) return null;
  const stage = STAGES.find((one) => one === text);
  if (stage !== undefined) return stage;
  throw new AuthorityError('malformed', `${path} does not say how far the change of the CA is`, {
    fix: 'remove it to go back to ca.pem and ca.key',
  });
}

export function stagePath(dir: string): string {
  return join(dir, 'rotation');
}

/** Where the next CA's two files are until it is the only one. */
export function nextPaths(dir: string): AuthorityPaths {
  return { cert: join(dir, 'ca-next.pem'), key: join(dir, 'ca-next.key') };
}

/** Every file that a change of the CA touches. */
export function rotationFiles(dir: string): readonly string[] {
  return [stagePath(dir), ...[authorityPaths(dir), nextPaths(dir)].flatMap(({ cert, key }) => [cert, key])];
}

/** Reads what is in force. `now`: milliseconds since the epoch. Throws AuthorityError, with the fix in its message. */
export function readAuthorities(dir: string, now: number): Authorities {
  const stage = readStage(dir);
  const [here, next] = [authorityPaths(dir), nextPaths(dir)];
  if (stage === null || stage === 'finishing') {
    // Finishing: each of the new files stands under one name or the other.
    const signer = openAuthority(here, stage === null ? readPair(here) : readPair(here, next), now);
    return { signer, stage, publishedPem: signer.certPem, other: null };
  }
  const [at, beside] = stage === 'announced' ? [here, next] : [next, here];
  const signer = openAuthority(at, readPair(at), now);
  // Published alone: what does not sign need not be valid, and its key need not be there.
  const others = readCertificates(beside.cert, readAuthorityFile(beside.cert) ?? '');
  const otherPem = others.map(({ raw }) => pemOf(raw)).join('');
  const both = stage === 'announced' ? [otherPem, signer.certPem] : [signer.certPem, otherPem];
  return { signer, stage, publishedPem: both.join(''), other: others[0] };
}

/** A CA that sandboxes are to trust, with its chain. */
export type Published = {
  readonly file: string;
  readonly certs: readonly [X509Certificate, ...X509Certificate[]];
};

/** All of them, the newest CA first, without a look at any key; none: there is no CA. Throws AuthorityError. */
export function readPublished(dir: string): readonly Published[] {
  const stage = readStage(dir);
  const paths = [...(stage === null ? [] : [nextPaths(dir)]), authorityPaths(dir)];
  const found = paths.flatMap(({ cert: file }): Published[] => {
    const pem = readAuthorityFile(file);
    return pem === undefined ? [] : [{ file, certs: readCertificates(file, pem) }];
  });
  // The new one is alone, under whichever of the two names.
  return stage === 'finishing' ? found.slice(0, 1) : found;
}

/** As `readAuthorities`, and makes a CA where there is none. */
export function ensureAuthorities(dir: string, now: number): { authorities: Authorities; created: boolean } {
  const created = readStage(dir) === null && loadOrCreateAuthority({ dir, now }).created;
  return { authorities: readAuthorities(dir, now), created };
}

/** Key and certificate, each from `first` where it is there, else from `paths`. Throws AuthorityError where one is in neither. */
export function readPair(paths: AuthorityPaths, first?: AuthorityPaths): AuthorityFile {
  const key = (first && readKeyFile(first.key)) ?? readKeyFile(paths.key);
  const cert = (first && readAuthorityFile(first.cert)) ?? readAuthorityFile(paths.cert);
  if (key !== undefined && cert !== undefined) return { key, cert };
  const [code, path] =
    key === undefined ? (['missing_key', paths.key] as const) : (['missing_cert', paths.cert] as const);
  throw new AuthorityError(code, `${path} is missing`, {
    fix: 'restore it from a backup, or remove the file `rotation` beside it to go back to ca.pem and ca.key',
  });
}
