/** An installation and what tests of the `vault` commands ask of it. */
import { join } from 'node:path';
import { openVault } from '../../src/vault/sealed.ts';
import { type Installation, installation, type Ran } from './main-harness.ts';

type More = { stdin?: string; env?: Record<string, string> };

export type VaultHome = {
  readonly home: Installation;
  readonly state: string;
  run(args: readonly string[], more?: More): Promise<Ran>;
  /** `vault list --json` */
  rows(more?: More): Promise<readonly { name: string; group: string | null }[]>;
  stored(name: string): Promise<string>;
};

export function vaultHome(): VaultHome {
  const home = installation();
  const state = join(home.dir, '.sallyport');
  const run = (args: readonly string[], more: More = {}): Promise<Ran> => home.run(['vault', ...args], more);
  return {
    home,
    state,
    run,
    rows: async (more) => {
      const { out, err, status } = await run(['list', '--json'], more);
      if (status !== 0) throw new Error(err);
      return JSON.parse(out) as { name: string; group: string | null }[];
    },
    stored: async (name) => (await openVault({ dir: state }).get(name)).expose().toString('utf8'),
  };
}
