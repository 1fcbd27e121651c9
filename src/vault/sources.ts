/** All sources of this version, as `start` and `env` use them. The key of each entry is its `from` kind. */
import { createEnvSource } from './env.ts';
import { createFileSource } from './file.ts';
import { passphraseFrom } from './key-file.ts';
import { openVault } from './sealed.ts';
import type { SecretSource } from './source.ts';

/**
 * `dir`: the state folder; `base`: folder that relative `file:` paths count from (default: the working
 * folder). Throws SecretSourceError when a passphrase file is named and cannot be read.
 */
export function openSources(opts: {
  dir: string;
  env: Readonly<Record<string, string | undefined>>;
  base?: string;
}): Readonly<Record<string, SecretSource>> {
  const passphrase = passphraseFrom(opts.env);
  return {
    vault: openVault({ dir: opts.dir, ...(passphrase === undefined ? {} : { passphrase }) }),
    env: createEnvSource(opts.env),
    file: createFileSource({ base: opts.base ?? process.cwd() }),
  };
}
