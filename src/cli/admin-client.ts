/** The admin API as commands use it: of the proxy that these settings start, with the token of its state folder. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Settings } from '../config/settings.ts';
import { CliError } from './io.ts';

const LIMIT_MS = 10_000;

/** Listening everywhere is reached on loopback. */
const ANYWHERE: ReadonlyMap<string, string> = new Map([
  ['0.0.0.0', '127.0.0.1'],
  ['::', '::1'],
]);

type Method = 'GET' | 'POST' | 'DELETE';

/** The JSON of a 2xx answer; `path` with its leading slash. Throws CliError with the problem's words, or where nobody answers. */
export async function askAdmin(
  settings: Settings,
  method: Method,
  path: string,
  body?: unknown,
): Promise<unknown> {
  const response = await send(settings, method, path, body);
  const answer: unknown = await response.json().catch(() => null);
  if (response.ok) return answer;
  throw new CliError(detailOf(answer) ?? `the admin side answered ${response.status}`);
}

/** The text of a 200, such as the metrics. Throws as `askAdmin` does. */
export async function askAdminText(settings: Settings, path: string): Promise<string> {
  const response = await send(settings, 'GET', path);
  if (!response.ok) throw new CliError(`the admin side answered ${response.status}`);
  return response.text();
}

async function send(settings: Settings, method: Method, path: string, body?: unknown): Promise<Response> {
  const { host, port } = settings.admin.listen;
  const name = ANYWHERE.get(host) ?? host;
  const url = `http://${name.includes(':') ? `[${name}]` : name}:${port}${path}`;
  return fetch(url, {
    method,
    headers: {
      authorization: `Bearer ${adminToken(settings)}`,
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

function adminToken({ state }: Settings): string {
  const file = join(state.dir, 'admin.token');
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw new CliError(`${file} cannot be read; run this as the user of the proxy`, 1, { cause: error });
  }
}

function detailOf(answer: unknown): string | null {
  if (typeof answer !== 'object' || answer === null || !('detail' in answer)) return null;
  return typeof answer.detail === 'string' ? answer.detail : null;
}
