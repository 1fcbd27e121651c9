/** All sources, as `start` and `env` use them. The key of each entry is its `from` kind. */
import { systemClock } from '../base/clock.ts';
import type { SourceEvents } from './cached.ts';
import { createCommandSource } from './command.ts';
import { createEnvSource } from './env.ts';
import { createFileSource } from './file.ts';
import { createKvSource } from './kv.ts';
import { createMintSource } from './mint.ts';
import { openVault } from './sealed.ts';
import { type SecretSource, SecretSourceError } from './source.ts';
import { createStrongholdSource } from './stronghold.ts';
import { unlockFiles, unlockFrom } from './unlock.ts';

/**
 * `dir`: the state folder; `base`: folder that relative paths count from (default: the working folder); `ca`: what
 * servers of `kv:` and `mint:` are verified against, PEM; `parentProxy`: what `mint:` asks through. Throws
 * SecretSourceError when a file with what opens the vault is named and cannot be read.
 */
export function openSources(
  opts: Partial<SourceEvents> & {
    dir: string;
    env: Readonly<Record<string, string | undefined>>;
    base?: string;
    ca?: readonly string[];
    parentProxy?: string | null;
  },
): Readonly<Record<string, SecretSource>> {
  const { env } = opts;
  unlockFrom(env);
  const outside = { clock: systemClock, base: process.cwd(), ...opts };
  const stored: Readonly<Record<string, SecretSource>> = {
    vault: openVault({ dir: opts.dir, unlock: () => unlockFrom(env), files: unlockFiles(env) }),
    env: createEnvSource(env),
    file: createFileSource({ base: outside.base }),
    command: createCommandSource(outside),
    stronghold: createStrongholdSource(outside),
    kv: createKvSource(outside),
  };
  const mint = createMintSource({
    ...outside,
    proxy: opts.parentProxy ?? null,
    read: async ({ kind, name }) => {
      const source = stored[kind];
      if (source === undefined) throw new SecretSourceError('bad_name', `there is no source of kind ${kind}`);
      return source.get(name);
    },
  });
  return { ...stored, mint };
}
