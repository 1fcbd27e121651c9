/**
 * What opens a vault beside its key file, from the environment: a passphrase, or the key itself, each also as a file,
 * as Docker, Kubernetes and systemd hand secrets over. Read again at each use: after `vault rekey`, a running proxy
 * whose file has the new secret goes on.
 */
import { type Environment, secretVariable } from '../base/secret-variable.ts';
import { KEY_BYTES } from './seal.ts';
import { SecretSourceError } from './source.ts';

export type Unlock = {
  readonly passphrase?: string;
  /** 32 bytes */
  readonly key?: Buffer;
};

/**
 * `SALLYPORT_VAULT_PASSPHRASE` or `SALLYPORT_VAULT_KEY`, or the first line of the file that the same name with
 * `_FILE` names. Throws `locked` for a file that is missing or empty, for a key that is none, and for both at once.
 */
export function unlockFrom(env: Environment): Unlock {
  const passphrase = secretVariable(env, 'SALLYPORT_VAULT_PASSPHRASE', locked);
  const key = secretVariable(env, 'SALLYPORT_VAULT_KEY', locked);
  if (passphrase !== undefined && key !== undefined) {
    throw locked(
      'SALLYPORT_VAULT_PASSPHRASE and SALLYPORT_VAULT_KEY are both set; a vault is opened by one of them',
    );
  }
  if (passphrase !== undefined) return { passphrase };
  return key === undefined ? {} : { key: parseVaultKey(key) };
}

/** 32 bytes in hex or base64 (`openssl rand -base64 32`). Throws `locked`; its message holds nothing of the text. */
export function parseVaultKey(text: string): Buffer {
  const clean = text.trim();
  const hex = /^[0-9a-fA-F]{64}$/.test(clean);
  const base64 = /^[A-Za-z0-9+/_-]{43}=?$/.test(clean);
  const key = hex ? Buffer.from(clean, 'hex') : Buffer.from(base64 ? clean : '', 'base64');
  if (key.length === KEY_BYTES) return key;
  throw locked(
    `the vault's key must be ${KEY_BYTES} bytes in hex or base64; make one: openssl rand -base64 ${KEY_BYTES}`,
  );
}

/** The files among it, to be watched. */
export function unlockFiles(env: Environment): readonly string[] {
  return [env['SALLYPORT_VAULT_PASSPHRASE_FILE'], env['SALLYPORT_VAULT_KEY_FILE']].flatMap(
    (path) => path || [],
  );
}

function locked(words: string, cause?: unknown): SecretSourceError {
  return new SecretSourceError('locked', words, { cause });
}
