/**
 * The CAs in force while the proxy runs: follows the CA's files, so that a change (`ca rotate`, a renewed certificate
 * that somebody mounts) needs no restart. Fails closed towards what it knows: files that are not a sound CA change
 * nothing, and the log says why. Made by the composition root; each worker has its own.
 */
import type { Clock } from '../base/clock.ts';
import { followFiles } from '../base/watch-file.ts';
import type { CertificateAuthority } from './authority.ts';
import type { LeafMint } from './leaf.ts';
import { type Authorities, readAuthorities, rotationFiles } from './rotation.ts';

export type LiveAuthority = {
  readonly current: () => Authorities;
  /** Looks at the files now. False: they are no sound CA. */
  readonly reload: () => boolean;
  readonly close: () => void;
};

/** `first`: signs until the files have been read. `onChange` hears of every other CA or stage. */
export function followAuthority(opts: {
  readonly dir: string;
  readonly first: CertificateAuthority;
  readonly clock: Clock;
  readonly onChange: (now: Authorities) => void;
  readonly onProblem: (message: string) => void;
}): LiveAuthority {
  const { dir, first, clock, onChange, onProblem } = opts;
  let current: Authorities = { signer: first, stage: null, publishedPem: first.certPem, other: null };
  let told = '';
  const reload = (): boolean => {
    try {
      const found = readAuthorities(dir, clock.now());
      told = '';
      if (same(found, current)) return true;
      current = found;
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (message !== told) onProblem(message);
      told = message;
      return false;
    }
    onChange(current);
    return true;
  };
  reload();
  return { current: () => current, reload, close: followFiles(rotationFiles(dir), reload) };
}

/** Leaves of whichever CA signs now: with another one, all are made anew. */
export function mintOf(
  live: LiveAuthority,
  make: (authority: CertificateAuthority) => LeafMint,
): Pick<LeafMint, 'contextFor'> {
  let made: { readonly by: CertificateAuthority; readonly mint: LeafMint } | null = null;
  return {
    contextFor: (at) => {
      const by = live.current().signer;
      if (made?.by !== by) made = { by, mint: make(by) };
      return made.mint.contextFor(at);
    },
  };
}

/** Leaves and sessions of a CA that stays are kept. */
function same(one: Authorities, two: Authorities): boolean {
  return (
    one.stage === two.stage &&
    one.publishedPem === two.publishedPem &&
    one.signer.cert.fingerprint256 === two.signer.cert.fingerprint256
  );
}
