/** One question to Vault or OpenBao and its answer: their headers, and their status codes in our words. */
import { readFileSync } from 'node:fs';
import { createHttps, jsonOf } from './https.ts';
import type { KvServer } from './kv-config.ts';
import { SecretSourceError } from './source.ts';

export type KvAsk = {
  readonly server: KvServer;
  readonly method: 'GET' | 'POST';
  /** below `/v1` */
  readonly path: string;
  /** null: for a login */
  readonly token: string | null;
  readonly body?: Readonly<Record<string, unknown>>;
  readonly signal: AbortSignal;
};

export type KvHttp = {
  /** The parsed JSON of a 2xx answer; `null` for one without a body. Throws SecretSourceError. */
  ask(ask: KvAsk): Promise<unknown>;
  close(): void;
};

/** `ca`: what upstreams are verified against, PEM; default: the system's. */
export function createKvHttp(opts: { readonly ca?: readonly string[] }): KvHttp {
  const https = createHttps(opts);
  const ask = async ({ server, method, path, token, body, signal }: KvAsk): Promise<unknown> => {
    const { status, bytes } = await https.ask({
      origin: server.origin,
      path: `${server.prefix}/v1${path}`,
      method,
      headers: {
        accept: 'application/json',
        'x-vault-request': 'true',
        ...(server.namespace === null ? {} : { 'x-vault-namespace': server.namespace }),
        ...(token === null ? {} : { 'x-vault-token': token }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      serverName: server.serverName,
      extraCa: server.caFile === null ? [] : [readCa(server.caFile)],
      signal,
    });
    if (status >= 200 && status <= 299) return jsonOf(bytes);
    bytes.fill(0);
    throw refusal(status);
  };
  return { ask, close: () => https.close() };
}

function refusal(status: number): SecretSourceError {
  if (status === 404) return new SecretSourceError('not_found', 'there is no such secret (404)');
  // 400: a login with a role or secret id that it does not know.
  if (status === 400 || status === 403)
    return new SecretSourceError('denied', `access is refused (${status})`);
  if (status >= 300 && status < 400) {
    const message = `it redirects (${status}), which is not followed; name the active server in VAULT_ADDR`;
    return new SecretSourceError('unreadable', message);
  }
  if (status === 503) return new SecretSourceError('unreadable', 'it is sealed or in maintenance (503)');
  return new SecretSourceError('unreadable', `it answered with status ${status}`);
}

function readCa(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new SecretSourceError('unreadable', 'the file that VAULT_CACERT names cannot be read', { cause });
  }
}
