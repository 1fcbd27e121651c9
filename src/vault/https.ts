/**
 * One question of the proxy itself to a server of the operator's choice, and its answer, by undici: TLS verified, no
 * redirects, limits for time and size. Used by `kv-http.ts` and `mint.ts`. Nothing that a sandbox sends comes here, and
 * the answer's own words are never repeated: they may hold anything.
 */
import { getCACertificates } from 'node:tls';
import type { Dispatcher } from 'undici';
import { SecretSourceError } from './source.ts';

export type HttpsAsk = {
  /** `https://host:port` */
  readonly origin: string;
  /** with its query */
  readonly path: string;
  readonly method: 'GET' | 'POST';
  readonly headers: Readonly<Record<string, string>>;
  /** wiped by who made it */
  readonly body?: Buffer | string;
  /** name to verify the certificate against, where it is not the host's */
  readonly serverName?: string | null;
  /** further certificate authorities, PEM */
  readonly extraCa?: readonly string[];
  readonly signal: AbortSignal;
};

export type HttpsAnswer = {
  readonly status: number;
  /** the last of several of one name */
  readonly header: (name: string) => string | null;
  /** to be wiped by who asked */
  readonly bytes: Buffer;
};

export type Https = {
  /** Any answer, whatever its status. Throws SecretSourceError: `timeout`, `too_large`, else `unreadable`. */
  ask(ask: HttpsAsk): Promise<HttpsAnswer>;
  close(): void;
};

export type HttpsOptions = {
  /** what servers are verified against, PEM; default: the system's */
  readonly ca?: readonly string[];
  /** http://, https:// or socks5:// proxy that everything goes through */
  readonly proxy?: string | null;
};

const CONNECT_MS = 5_000;
const ANSWER_MS = 8_000;
const MAX_RESPONSE_BYTES = 1_048_576;
const MAX_HEADER_BYTES = 16_384;
const CONNECTIONS = 4;
/** Hosts with connections of their own; more are for somebody who changes a policy all day. */
const ORIGINS = 256;
const TIMEOUTS = ['UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT'];

export function createHttps(opts: HttpsOptions): Https {
  let held: { readonly key: string; readonly agent: Promise<Dispatcher> } | null = null;
  const drop = (): void => {
    // One that could not be made has nothing to close; whoever asked with it was told.
    held?.agent.then((agent) => agent.destroy()).catch(() => {});
    held = null;
  };
  const agentFor = ({ serverName = null, extraCa = [] }: HttpsAsk): Promise<Dispatcher> => {
    const key = JSON.stringify([serverName, extraCa]);
    if (held?.key === key) return held.agent;
    drop();
    const ca = [...(opts.ca ?? getCACertificates('default')), ...extraCa];
    const agent = makeAgent({ ca, serverName, proxy: opts.proxy ?? null });
    held = { key, agent };
    return agent;
  };
  return { ask: async (ask) => askOnce(await agentFor(ask), ask), close: drop };
}

type Trust = { readonly ca: string[]; readonly serverName: string | null; readonly proxy: string | null };

/** Loaded at the first need: most installations have no such server, and the package costs every start and process. */
async function makeAgent({ ca, serverName, proxy }: Trust): Promise<Dispatcher> {
  const { Agent, ProxyAgent } = await import('undici');
  const verified = { ca, rejectUnauthorized: true, timeout: CONNECT_MS };
  const target = serverName === null ? verified : { ...verified, servername: serverName };
  const limits = {
    connections: CONNECTIONS,
    maxOrigins: ORIGINS,
    headersTimeout: ANSWER_MS,
    bodyTimeout: ANSWER_MS,
    maxHeaderSize: MAX_HEADER_BYTES,
    maxResponseSize: MAX_RESPONSE_BYTES,
    allowH2: false,
  };
  if (proxy === null) return new Agent({ ...limits, connect: target });
  return new ProxyAgent({
    ...limits,
    uri: proxy,
    requestTls: target,
    // With this undici speaks TLS to a SOCKS5 proxy as well.
    ...(proxy.startsWith('https:') ? { proxyTls: verified } : {}),
    connectTimeout: CONNECT_MS,
  });
}

async function askOnce(agent: Dispatcher, ask: HttpsAsk): Promise<HttpsAnswer> {
  const { origin, path, method, headers, body, signal } = ask;
  try {
    const answer = await agent.request({
      origin,
      path,
      method,
      headers: { ...headers },
      signal,
      ...(body === undefined ? {} : { body }),
    });
    const bytes = await whole(answer.body);
    const header = (name: string): string | null => [answer.headers[name] ?? []].flat().at(-1) ?? null;
    return { status: answer.statusCode, header, bytes };
  } catch (error) {
    throw error instanceof SecretSourceError ? error : inWords(error);
  }
}

/** Counted here, too: what undici connects through SOCKS5 does not know its own limit. */
async function whole(body: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of body) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > MAX_RESPONSE_BYTES) throw tooLarge();
  }
  const bytes = Buffer.concat(chunks);
  for (const chunk of chunks) chunk.fill(0);
  return bytes;
}

/** The JSON of an answer. Wipes `bytes`. Throws `damaged`. */
export function jsonOf(bytes: Buffer): unknown {
  try {
    return bytes.length === 0 ? null : JSON.parse(bytes.toString('utf8'));
  } catch {
    // What a parser says may quote the text.
    throw new SecretSourceError('damaged', 'the answer is no JSON');
  } finally {
    bytes.fill(0);
  }
}

function inWords(error: unknown): SecretSourceError {
  // A code is a word of Node's, OpenSSL's or undici's: certificate, refused connection, unknown name.
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'no code';
  if (code === 'UND_ERR_RES_EXCEEDED_MAX_SIZE') return tooLarge();
  if (TIMEOUTS.includes(code)) return new SecretSourceError('timeout', 'it took too long');
  return new SecretSourceError('unreadable', `it cannot be asked (${code})`);
}

function tooLarge(): SecretSourceError {
  return new SecretSourceError('too_large', `the answer is longer than ${MAX_RESPONSE_BYTES} bytes`);
}
