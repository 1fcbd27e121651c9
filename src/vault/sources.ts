/** All sources, as `start` and `env` use them. The key of each entry is its `from` kind. */
import { systemClock } from '../base/clock.ts';
import type { SourceEvents } from './cached.ts';
import { createCommandSource } from './command.ts';
import { createEnvSource } from './env.ts';
import { createFileSource } from './file.ts';
import { passphraseFrom } from './key-file.ts';
import { createKvSource } from './kv.ts';
import { openVault } from './sealed.ts';
import type { SecretSource } from './source.ts';
import { createStrongholdSource } from './stronghold.ts';

/**
 * `dir`: the state folder; `base`: folder that relative paths count from (default: the working folder); `ca`: what
 * a `kv:` server is verified against, PEM. Throws SecretSourceError when a passphrase file is named and
 * cannot be read.
 */
export function openSources(
  opts: Partial<SourceEvents> & {
    dir: string;
    env: Readonly<Record<string, string | undefined>>;
    base?: string;
    ca?: readonly string[];
  },
): Readonly<Record<string, SecretSource>> {
  const passphrase = passphraseFrom(opts.env);
  const outside = { clock: systemClock, base: process.cwd(), ...opts };
  return {
    vault: openVault({ dir: opts.dir, ...(passphrase === undefined ? {} : { passphrase }) }),
    env: createEnvSource(opts.env),
    file: createFileSource({ base: outside.base }),
    command: createCommandSource(outside),
    stronghold: createStrongholdSource(outside),
    kv: createKvSource(outside),
  };
}
