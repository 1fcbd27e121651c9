/** What the `vault` commands share: opening the vault, asking where a terminal can be asked, and telling errors. */
import { resolve } from 'node:path';
import { readSecret } from '../vault/read-secret.ts';
import { openVault, type Vault } from '../vault/sealed.ts';
import { MAX_VALUE_BYTES, SecretSourceError } from '../vault/source.ts';
import { type Unlock, unlockFrom } from '../vault/unlock.ts';
import { CliError, type CliIo } from './io.ts';
import { settingsFor } from './load.ts';
import { noteAction } from './note.ts';

export type Common = { config?: string; stateDir?: string; json?: true };

/** A shorter key cannot be told from ordinary text in a response, and can be guessed. */
export const MIN_VALUE_BYTES = 16;

export const WORDS = {
  created: 'stored',
  replaced: 'replaced; the old value is refused as revoked',
  unchanged: 'unchanged, it is the same value',
} as const;

/** The vault of the state folder. Where it has a passphrase that is not in the environment, a terminal is asked. */
export async function openFor(options: Common, io: CliIo): Promise<Vault> {
  const dir = stateDirOf(options, io);
  const given = unlockFrom(io.env);
  const unlock = isEmpty(given) ? await asked(dir, io) : given;
  return openVault({ dir, unlock: () => unlock });
}

/** For the record of the proxy. `subject`: a key's name; never a value. */
export function noteVault(
  options: Common,
  io: CliIo,
  done: { readonly action: string; readonly subject: string | null; readonly why?: string },
): void {
  noteAction(stateDirOf(options, io), { group: null, why: null, ...done });
}

function stateDirOf({ config, stateDir }: Common, io: CliIo): string {
  return stateDir === undefined ? settingsFor(config, io).state.dir : resolve(io.cwd, stateDir);
}

/**
 * What a start says where a passphrase or key is given and the vault is opened by its key file all the same: whoever set it
 * believes that it protects the vault. Null: nothing to say. Throws SecretSourceError for what `unlockFrom` refuses.
 */
export function unusedUnlock(dir: string, env: CliIo['env']): string | null {
  if (isEmpty(unlockFrom(env)) || !opensByFile(dir)) return null;
  return 'SALLYPORT_VAULT_PASSPHRASE or SALLYPORT_VAULT_KEY is set and not used: vault.key opens this vault. `sallyport vault rekey --passphrase` or `--environment-key` changes that.';
}

function opensByFile(dir: string): boolean {
  try {
    return openVault({ dir }).opens() === 'key-file';
  } catch {
    // What is wrong with the file is told when its keys are fetched.
    return false;
  }
}

function isEmpty({ passphrase, key }: Unlock): boolean {
  return passphrase === undefined && key === undefined;
}

async function asked(dir: string, io: CliIo): Promise<Unlock> {
  if (io.stdin.isTTY !== true) return {};
  const kind = openVault({ dir }).opens();
  if (kind !== 'argon2id' && kind !== 'scrypt') return {};
  return { passphrase: await ask('Passphrase of the vault: ', io) };
}

/** From the terminal without echo, else all of standard input. */
export async function ask(prompt: string, io: CliIo): Promise<string> {
  const bytes = await readSecret({ input: io.stdin, output: io.stderr, prompt, maxBytes: MAX_VALUE_BYTES });
  return bytes.toString('utf8');
}

/** Errors of the vault are for people; a wrong name is wrong use. */
export async function guarded(work: () => Promise<void> | void): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof SecretSourceError)) throw error;
    throw new CliError(error.message, error.code === 'bad_name' ? 2 : 1, { cause: error });
  }
}
