/**
 * The admin API as commands use it: of the proxy that these settings start, with an operator's token, by default the built-in
 * admin's, of the state folder. What is done stands in the record under that operator's name.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Settings } from '../config/settings.ts';
import { CliError, type CliIo } from './io.ts';
import { settingsFor } from './load.ts';

const LIMIT_MS = 10_000;
const MAX_TOKEN_CHARS = 1_000;
/** A token, or the file that holds one: for people who may not read the state folder. */
const TOKEN = 'SALLYPORT_OPERATOR_TOKEN';

/** Listening everywhere is reached on loopback. */
const ANYWHERE: ReadonlyMap<string, string> = new Map([
  ['0.0.0.0', '127.0.0.1'],
  ['::', '::1'],
]);

type Method = 'GET' | 'POST' | 'DELETE';

/** Which proxy is asked, and as whom. */
export type AdminAccess = { readonly origin: string; readonly token: string };

/** Options that every command of the admin API has. */
export const TOKEN_FILE = [
  '--token-file <file>',
  `file with your operator token (default: $${TOKEN}, $${TOKEN}_FILE, or the built-in admin's)`,
] as const;

/** Throws CliError where the settings are not in order, or the token cannot be read. */
export function adminAccess(
  options: { readonly config?: string; readonly tokenFile?: string },
  io: CliIo,
): AdminAccess {
  const settings = settingsFor(options.config, io);
  const { host, port } = settings.admin.listen;
  const name = ANYWHERE.get(host) ?? host;
  const origin = `http://${name.includes(':') ? `[${name}]` : name}:${port}`;
  return { origin, token: tokenOf(options.tokenFile, settings, io.env) };
}

/** The JSON of a 2xx answer; `path` with its leading slash. Throws CliError with the problem's words, or where nobody answers. */
export async function askAdmin(
  access: AdminAccess,
  method: Method,
  path: string,
  body?: unknown,
): Promise<unknown> {
  const response = await send(access, method, path, body);
  const answer: unknown = await response.json().catch(() => null);
  if (response.ok) return answer;
  throw new CliError(detailOf(answer) ?? `the admin side answered ${response.status}`);
}

/** The text of a 200, such as the metrics. Throws as `askAdmin` does. */
export async function askAdminText(access: AdminAccess, path: string): Promise<string> {
  const response = await send(access, 'GET', path);
  if (!response.ok) throw new CliError(`the admin side answered ${response.status}`);
  return response.text();
}

async function send(
  { origin, token }: AdminAccess,
  method: Method,
  path: string,
  body?: unknown,
): Promise<Response> {
  const url = `${origin}${path}`;
  return fetch(url, {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    redirect: 'error',
    signal: AbortSignal.timeout(LIMIT_MS),
  }).catch((error: unknown) => {
    throw new CliError(`no proxy answers at ${url}: is it running, with these settings?`, 1, {
      cause: error,
    });
  });
}

function tokenOf(file: string | undefined, { state }: Settings, env: CliIo['env']): string {
  const given = file === undefined ? (env[TOKEN] ?? '') : '';
  if (given !== '') return checked(given, `$${TOKEN}`);
  const named = file ?? (env[`${TOKEN}_FILE`] || undefined);
  const path = named ?? join(state.dir, 'admin.token');
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const fix =
      named === undefined ? `run this as the user of the proxy, or with --token-file` : 'is the name right?';
    throw new CliError(`${path} cannot be read; ${fix}`, 1, { cause: error });
  }
  return checked(text, path);
}

/** A header's value; the text itself is never shown. */
function checked(text: string, from: string): string {
  const token = text.trim();
  if (token.length <= MAX_TOKEN_CHARS && /^[\x21-\x7e]+$/.test(token)) return token;
  throw new CliError(`${from} holds no operator token`);
}

function detailOf(answer: unknown): string | null {
  if (typeof answer !== 'object' || answer === null || !('detail' in answer)) return null;
  return typeof answer.detail === 'string' ? answer.detail : null;
}
