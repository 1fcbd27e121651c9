/** `vault rekey`: everything sealed anew under a new key file, a passphrase, or a key from the environment. */
import { parseVaultKey, type Unlock } from '../vault/unlock.ts';
import { CliError, type CliIo } from './io.ts';
import { ask, type Common, noteVault, openFor } from './vault-open.ts';

export type RekeyOptions = Common & { passphrase?: true; environmentKey?: true };

/** Whoever has the file may try as many as they like. */
const MIN_PASSPHRASE_CHARACTERS = 12;

/** What is asked for is on standard input, or is typed twice. */
export async function rekey(options: RekeyOptions, io: CliIo): Promise<void> {
  if (options.passphrase === true && options.environmentKey === true) {
    throw new CliError('--passphrase and --environment-key: a vault is opened by one of them', 2);
  }
  const vault = await openFor(options, io);
  const next = await nextOf(options, io);
  await vault.rekey(next);
  noteVault(options, io, { action: 'vault.rekey', subject: null });
  io.stdout.write(`${wordsOf(next)}\n`);
}

async function nextOf(options: RekeyOptions, io: CliIo): Promise<Unlock> {
  if (options.environmentKey === true) return { key: parseVaultKey(await twice('New key', io)) };
  if (options.passphrase !== true) return {};
  const passphrase = await twice('New passphrase', io);
  if (passphrase === '') throw new CliError('the passphrase is empty', 2);
  if (passphrase.length >= MIN_PASSPHRASE_CHARACTERS) return { passphrase };
  throw new CliError(
    `the passphrase is shorter than ${MIN_PASSPHRASE_CHARACTERS} characters: it could be guessed`,
  );
}

async function twice(what: string, io: CliIo): Promise<string> {
  const first = await ask(`${what}: `, io);
  if (io.stdin.isTTY !== true || (await ask(`${what} again: `, io)) === first) return first;
  throw new CliError('the two are not the same; nothing was changed');
}

function wordsOf({ passphrase, key }: Unlock): string {
  const give = 'give it to `start` in';
  if (passphrase !== undefined)
    return `the vault has a new passphrase; ${give} SALLYPORT_VAULT_PASSPHRASE or SALLYPORT_VAULT_PASSPHRASE_FILE`;
  if (key !== undefined)
    return `the vault has a new key; ${give} SALLYPORT_VAULT_KEY or SALLYPORT_VAULT_KEY_FILE`;
  return 'the vault has a new key file';
}
