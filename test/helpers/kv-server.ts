/**
 * A double of HashiCorp Vault and OpenBao: the part of their published HTTP API that `kv:` uses (KV version 2 reads, AppRole
 * login, token lookup and renewal), over TLS. No package registry at hand has the real server; `hvac`, a
 * client of others, was tried on it by hand and found what it expects.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type http from 'node:http';
import https from 'node:https';
import { upstreamAuthority, upstreamPair } from './world.ts';

type Token = { ttl: number; renewable: boolean; until: number };
type Question = {
  readonly method: string;
  readonly path: string;
  readonly headers: http.IncomingHttpHeaders;
};

export type KvServer = {
  /** for the proxy: where it is and what to trust; no login */
  readonly env: Readonly<Record<string, string>>;
  readonly ca: readonly string[];
  readonly asked: readonly Question[];
  /** `path`: mount and path as `vault kv` takes them */
  put(path: string, fields: Record<string, unknown>): void;
  /** deletes the newest version */
  remove(path: string): void;
  /** a new token; `ttl` in seconds, 0: without end */
  issue(ttl: number, renewable?: boolean): string;
  revoke(token: string): void;
  /** how often the secret id serves; default: without limit */
  role(id: { roleId: string; secretId: string; uses?: number; ttl: number }): void;
  /** paths that no token may read */
  forbid(path: string): void;
  /** answers every question in this way until it is called with `null` */
  act(how: ((response: http.ServerResponse) => void) | null): void;
  close(): Promise<void>;
};

export async function kvServer(): Promise<KvServer> {
  const secrets = new Map<string, { fields: Record<string, unknown> | null; at: string; version: number }>();
  const tokens = new Map<string, Token>();
  const forbidden = new Set<string>();
  const asked: Question[] = [];
  let role: { roleId: string; secretId: string; uses: number; ttl: number } | null = null;
  let act: ((response: http.ServerResponse) => void) | null = null;

  const issue = (ttl: number, renewable = true): string => {
    const token = `hvs.${randomBytes(12).toString('hex')}`;
    tokens.set(token, {
      ttl,
      renewable,
      until: ttl === 0 ? Number.POSITIVE_INFINITY : Date.now() + ttl * 1000,
    });
    return token;
  };
  const authOf = (token: string) => {
    const { ttl = 0, renewable = false } = tokens.get(token) ?? {};
    return { auth: { client_token: token, lease_duration: ttl, renewable } };
  };
  const login = (body: { role_id?: string; secret_id?: string }): Answer => {
    if (
      role === null ||
      body.role_id !== role.roleId ||
      body.secret_id !== role.secretId ||
      role.uses === 0
    ) {
      return { status: 400, body: { errors: ['invalid role or secret ID'] } };
    }
    role.uses -= 1;
    return { status: 200, body: authOf(issue(role.ttl)) };
  };
  const read = (path: string): Answer => {
    const found = secrets.get(path);
    if (forbidden.has(path))
      return { status: 403, body: { errors: ['1 error occurred: permission denied'] } };
    if (found === undefined) return { status: 404, body: { errors: [] } };
    const deletedAt = found.fields === null ? found.at : '';
    const metadata = {
      created_time: found.at,
      deletion_time: deletedAt,
      destroyed: false,
      version: found.version,
    };
    return { status: found.fields === null ? 404 : 200, body: { data: { data: found.fields, metadata } } };
  };
  const answer = (method: string, path: string, token: string, body: string): Answer => {
    if (method === 'POST' && path === '/v1/auth/approle/login') return login(JSON.parse(body) as object);
    const known = tokens.get(token);
    if (known === undefined || known.until < Date.now()) {
      return { status: 403, body: { errors: ['permission denied'] } };
    }
    if (path === '/v1/auth/token/lookup-self') {
      const ttl = known.ttl === 0 ? 0 : Math.ceil((known.until - Date.now()) / 1000);
      return { status: 200, body: { data: { id: token, ttl, renewable: known.renewable } } };
    }
    if (method === 'POST' && path === '/v1/auth/token/renew-self') {
      if (!known.renewable) return { status: 400, body: { errors: ['lease is not renewable'] } };
      known.until = Date.now() + known.ttl * 1000;
      return { status: 200, body: authOf(token) };
    }
    const data = /^\/v1\/([^/]+)\/data\/(.+)$/.exec(path);
    if (method === 'GET' && data !== null) return read(`${data[1]}/${decodeURIComponent(data[2] ?? '')}`);
    return { status: 404, body: { errors: [] } };
  };

  const server = https.createServer(upstreamPair('vault.test'), (request, response) => {
    const { method = '', url = '', headers } = request;
    asked.push({ method, path: url, headers });
    let body = '';
    request.on('data', (chunk: Buffer) => {
      body += chunk.toString();
    });
    request.on('end', () => {
      if (act !== null) return act(response);
      const given = answer(method, url, String(headers['x-vault-token'] ?? ''), body);
      response.writeHead(given.status, { 'content-type': 'application/json' });
      return response.end(JSON.stringify(given.body));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    env: { VAULT_ADDR: `https://127.0.0.1:${port}`, VAULT_TLS_SERVER_NAME: 'vault.test' },
    ca: [upstreamAuthority().certPem],
    asked,
    put: (path, fields) => {
      const version = (secrets.get(path)?.version ?? 0) + 1;
      secrets.set(path, { fields, at: new Date().toISOString(), version });
    },
    remove: (path) => {
      const found = secrets.get(path);
      if (found !== undefined) secrets.set(path, { ...found, fields: null });
    },
    issue,
    revoke: (token) => tokens.delete(token),
    role: ({ uses = Number.POSITIVE_INFINITY, ...of }) => {
      role = { ...of, uses };
    },
    forbid: (path) => forbidden.add(path),
    act: (how) => {
      act = how;
    },
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

type Answer = { readonly status: number; readonly body: unknown };
