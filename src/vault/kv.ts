/**
 * `kv:PATH#FIELD`: fields of secrets in HashiCorp Vault or OpenBao, KV version 2. PATH is what `vault kv get` takes, its
 * first segment the mount (`secret/openai`), or the path of the API, with `data` after a mount of more than one segment
 * (`team/kv/data/openai`). One request gives all fields of a path.
 */
import { type CachedOptions, createCachedSource, type SourceEvents } from './cached.ts';
import { secretAnswer } from './kv-answers.ts';
import { type Env, serverFrom } from './kv-config.ts';
import { createKvHttp } from './kv-http.ts';
import { createKvTokens } from './kv-token.ts';
import { type SecretSource, SecretSourceError } from './source.ts';
import type { Fetched } from './unit.ts';

/** `ca`: what upstreams are verified against, PEM; default: the system's. */
export function createKvSource(
  opts: SourceEvents & { readonly env: Env; readonly ca?: readonly string[] },
): SecretSource {
  const http = createKvHttp(opts);
  const tokens = createKvTokens({
    env: opts.env,
    http,
    onProblem: (message) => opts.onProblem?.(message),
  });
  const fetch: CachedOptions['fetch'] = async (path, signal) => {
    const server = serverFrom(opts.env);
    const at = apiPath(path);
    const read = async (token: string): Promise<unknown> =>
      http.ask({ server, method: 'GET', path: at, token, signal });
    const token = await tokens.current(server);
    const found = await read(token).catch(async (error: unknown) => {
      // A token that ended looks like a path that is forbidden: asked once more with a new one.
      const refused = error instanceof SecretSourceError && error.code === 'denied';
      if (!refused || !(await tokens.renewed(server, token))) throw error;
      return read(await tokens.current(server));
    });
    return fieldsOf(found);
  };
  return createCachedSource({
    ...opts,
    kind: 'kv',
    split: splitName,
    fetch,
    close: () => {
      tokens.close();
      http.close();
    },
  });
}

/** `secret/openai` to `/secret/data/openai`, each segment percent-encoded. Throws `bad_name`. */
export function apiPath(path: string): string {
  const segments = path.replace(/^\/+|\/+$/g, '').split('/');
  if (segments.length < 2 || segments.some((part) => part === '' || part === '.' || part === '..')) {
    throw new SecretSourceError('bad_name', 'its path is not MOUNT/PATH');
  }
  const [mount = '', ...rest] = segments;
  const whole = rest.slice(0, -1).includes('data') ? segments : [mount, 'data', ...rest];
  return `/${whole.map((part) => encodeURIComponent(part)).join('/')}`;
}

function fieldsOf(found: unknown): Fetched {
  const read = secretAnswer.safeParse(found);
  if (!read.success) throw new SecretSourceError('damaged', 'the answer is none of KV version 2');
  const { data, metadata } = read.data.data;
  if (data === null) throw new SecretSourceError('not_found', 'its newest version is deleted');
  const values = new Map<string, Buffer>();
  const bad = new Map<string, SecretSourceError>();
  for (const [field, value] of Object.entries(data)) {
    if (typeof value === 'string') values.set(field, Buffer.from(value, 'utf8'));
    else bad.set(field, new SecretSourceError('damaged', 'its value is no text'));
  }
  const changedAt = Date.parse(metadata?.created_time ?? '');
  return { values, bad, ...(Number.isNaN(changedAt) ? {} : { changedAt }) };
}

function splitName(name: string): { unit: string; field: string } {
  const at = name.indexOf('#');
  if (at === -1) throw new SecretSourceError('bad_name', `kv:${name} names no field`);
  return { unit: name.slice(0, at), field: name.slice(at + 1) };
}
