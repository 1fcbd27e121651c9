/**
 * Where HashiCorp Vault or OpenBao is and how this proxy proves who it is, from the variables that their own
 * programs read: `BAO_ADDR` or else `VAULT_ADDR`, and so on. Read anew at each fetch, so that a token file may change.
 */
import { readFileSync } from 'node:fs';
import { SecretSourceError } from './source.ts';

export type Env = Readonly<Record<string, string | undefined>>;

export type KvServer = {
  /** `https://host:port`; `http://` on this machine alone */
  readonly origin: string;
  /** a path that stands before `/v1`, else the empty text */
  readonly prefix: string;
  readonly namespace: string | null;
  /** file of further certificate authorities, PEM */
  readonly caFile: string | null;
  readonly serverName: string | null;
};

export type KvLogin =
  | { readonly kind: 'token'; readonly token: string }
  | { readonly kind: 'approle'; readonly mount: string; readonly roleId: string; readonly secretId: string };

const MAX_FILE_CHARACTERS = 4_096;
/** What a header can hold, and tokens consist of. */
const VISIBLE = /^[\x21-\x7e]+$/;
const MOUNT = /^[A-Za-z0-9_-]+(?:\/[A-Za-z0-9_-]+)*$/;

/** Throws SecretSourceError with the name of the variable that is missing or wrong. */
export function serverFrom(env: Env): KvServer {
  const [name, address] = variable(env, 'ADDR');
  if (address === null) throw wrong(`VAULT_ADDR or BAO_ADDR is not set`);
  const url = URL.parse(address);
  if (
    url === null ||
    !['https:', 'http:'].includes(url.protocol) ||
    url.username !== '' ||
    url.search !== ''
  ) {
    throw wrong(`${name} is no https:// address`);
  }
  if (url.protocol === 'http:' && !isLoopback(url.hostname)) {
    throw wrong(`${name}: http:// is for an address of this machine alone; write https://`);
  }
  const namespace = variable(env, 'NAMESPACE')[1];
  if (namespace !== null && !VISIBLE.test(namespace))
    throw wrong('the namespace holds characters that it cannot');
  return {
    origin: url.origin,
    prefix: url.pathname.replace(/\/+$/, ''),
    namespace,
    caFile: variable(env, 'CACERT')[1],
    serverName: variable(env, 'TLS_SERVER_NAME')[1],
  };
}

/** A role where one is named, else a token. Throws SecretSourceError. */
export function loginFrom(env: Env): KvLogin {
  const roleId = secretOf(env, 'ROLE_ID');
  if (roleId === null) {
    const token = secretOf(env, 'TOKEN');
    if (token === null) throw wrong('neither VAULT_TOKEN, VAULT_TOKEN_FILE nor VAULT_ROLE_ID is set');
    return { kind: 'token', token };
  }
  const secretId = secretOf(env, 'SECRET_ID');
  if (secretId === null) throw wrong('VAULT_ROLE_ID needs VAULT_SECRET_ID or VAULT_SECRET_ID_FILE');
  const mount = variable(env, 'APPROLE_MOUNT')[1] ?? 'approle';
  if (!MOUNT.test(mount)) throw wrong('VAULT_APPROLE_MOUNT is no path');
  return { kind: 'approle', mount, roleId, secretId };
}

/** Name and value of the variable as OpenBao or, where that is not set, as Vault calls it. */
function variable(env: Env, what: string): readonly [name: string, value: string | null] {
  const ours = [`BAO_${what}`, `VAULT_${what}`].find((name) => (env[name] ?? '') !== '');
  return ours === undefined ? [`VAULT_${what}`, null] : [ours, env[ours] ?? null];
}

/** Out of the variable, or the first line of the file that `…_FILE` names. */
function secretOf(env: Env, what: string): string | null {
  const [name, direct] = variable(env, what);
  if (direct !== null) return visible(direct, name);
  const [fileName, path] = variable(env, `${what}_FILE`);
  if (path === null) return null;
  let text: string;
  try {
    text = readFileSync(path, 'utf8').slice(0, MAX_FILE_CHARACTERS);
  } catch (cause) {
    throw new SecretSourceError('unreadable', `the file that ${fileName} names cannot be read`, { cause });
  }
  return visible(text.split(/\r?\n/)[0] ?? '', fileName);
}

function visible(text: string, name: string): string {
  if (!VISIBLE.test(text)) throw wrong(`${name} holds no token or id`);
  return text;
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(host);
}

function wrong(message: string): SecretSourceError {
  return new SecretSourceError('unreadable', message);
}
