/**
 * One question to Vault or OpenBao and its answer, by undici: TLS verified, no redirects, a limit for time and size,
 * status codes in our words. The answer's own words are never repeated: they may hold anything.
 */
import { readFileSync } from 'node:fs';
import { getCACertificates } from 'node:tls';
import type { Agent } from 'undici';
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

const CONNECT_MS = 5_000;
const ANSWER_MS = 8_000;
const MAX_RESPONSE_BYTES = 1_048_576;
const MAX_HEADER_BYTES = 16_384;
const CONNECTIONS = 4;
const TIMEOUTS = ['UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT'];

/** `ca`: what upstreams are verified against, PEM; default: the system's. */
export function createKvHttp(opts: { readonly ca?: readonly string[] }): KvHttp {
  let held: { readonly key: string; readonly agent: Promise<Agent> } | null = null;
  const drop = (): void => {
    // One that could not be made has nothing to close; whoever asked with it was told.
    held?.agent.then(destroy).catch(() => {});
    held = null;
  };
  const agentFor = (server: KvServer): Promise<Agent> => {
    const extra = server.caFile === null ? [] : [readCa(server.caFile)];
    const key = JSON.stringify([server.serverName, extra]);
    if (held?.key === key) return held.agent;
    drop();
    const agent = makeAgent(server, [...(opts.ca ?? getCACertificates('default')), ...extra]);
    held = { key, agent };
    return agent;
  };
  return { ask: async (ask) => askOnce(await agentFor(ask.server), ask), close: drop };
}

function destroy(agent: Agent): Promise<void> {
  return agent.destroy();
}

/** Loaded at the first need: most installations have no such server, and the package costs every start and process. */
async function makeAgent({ serverName }: KvServer, ca: readonly string[]): Promise<Agent> {
  const { Agent } = await import('undici');
  return new Agent({
    connect: {
      ca: [...ca],
      rejectUnauthorized: true,
      timeout: CONNECT_MS,
      ...(serverName === null ? {} : { servername: serverName }),
    },
    connections: CONNECTIONS,
    headersTimeout: ANSWER_MS,
    bodyTimeout: ANSWER_MS,
    maxHeaderSize: MAX_HEADER_BYTES,
    maxResponseSize: MAX_RESPONSE_BYTES,
    allowH2: false,
  });
}

async function askOnce(agent: Agent, ask: KvAsk): Promise<unknown> {
  const { server, token, body, signal } = ask;
  let bytes: Buffer;
  let status: number;
  try {
    const response = await agent.request({
      origin: server.origin,
      path: `${server.prefix}/v1${ask.path}`,
      method: ask.method,
      signal,
      headers: {
        accept: 'application/json',
        'x-vault-request': 'true',
        ...(server.namespace === null ? {} : { 'x-vault-namespace': server.namespace }),
        ...(token === null ? {} : { 'x-vault-token': token }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    status = response.statusCode;
    bytes = Buffer.from(await response.body.arrayBuffer());
  } catch (error) {
    throw inWords(error);
  }
  try {
    if (status < 200 || status > 299) throw refusal(status);
    return bytes.length === 0 ? null : JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    if (error instanceof SecretSourceError) throw error;
    throw new SecretSourceError('damaged', 'the answer is no JSON');
  } finally {
    bytes.fill(0);
  }
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

function inWords(error: unknown): SecretSourceError {
  // A code is a word of Node's, OpenSSL's or undici's: certificate, refused connection, unknown name.
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'no code';
  if (code === 'UND_ERR_RES_EXCEEDED_MAX_SIZE') {
    return new SecretSourceError('too_large', `the answer is longer than ${MAX_RESPONSE_BYTES} bytes`);
  }
  if (TIMEOUTS.includes(code)) {
    return new SecretSourceError('timeout', 'it took too long');
  }
  return new SecretSourceError('unreadable', `it cannot be asked (${code})`);
}

function readCa(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new SecretSourceError('unreadable', 'the file that VAULT_CACERT names cannot be read', { cause });
  }
}
