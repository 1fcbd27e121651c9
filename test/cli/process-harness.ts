/** `start` as a process of its own, with what a test asks of it: its ports, its words, its admin side, its record. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { jsonLines } from '../helpers/json.ts';
import { ownEnv } from '../helpers/run-program.ts';
import { eventually } from '../helpers/world.ts';
import { type Installation, installation } from './main-harness.ts';

const SCRIPT = fileURLToPath(new URL('../../src/sallyport.js', import.meta.url));
/** Less than the limit of a hook, which tells nothing. */
const START_MS = 50_000;
const GREETING = /proxy {3}http:\/\/127\.0\.0\.1:(\d+)[\s\S]*admin {3}http:\/\/127\.0\.0\.1:(\d+)\s/;

export type Running = {
  readonly home: Installation;
  readonly child: ChildProcess;
  readonly port: number;
  readonly adminPort: number;
  /** everything it has written to both streams */
  readonly said: () => string;
  /** an answer of the admin side; the body as JSON, or as text where it is none */
  readonly admin: (method: string, path: string, json?: object) => Promise<{ status: number; body: unknown }>;
  readonly adminUrl: string;
  /** the built-in admin's */
  readonly token: string;
  /** all records, those of several chains one after the other */
  readonly records: () => Record<string, unknown>[];
  /** status and signal of its end */
  readonly gone: Promise<unknown>;
  /** ends it, whatever it is doing, and removes its folder */
  readonly remove: () => Promise<void>;
};

/** Both listeners must be on port 0 in `settings`. */
export async function startProcess(opts: {
  policies: Record<string, string>;
  settings: string;
  /** shell text that ends in `exec "$@"` */
  through?: string;
  env?: Record<string, string>;
  /** before it starts */
  prepare?: (home: Installation) => Promise<void>;
}): Promise<Running> {
  const home = installation(opts);
  await opts.prepare?.(home);
  const command = [process.execPath, SCRIPT, 'start'];
  const [program = '', ...args] =
    opts.through === undefined ? command : ['/bin/sh', '-c', opts.through, 'sh', ...command];
  const child = spawn(program, args, {
    cwd: home.dir,
    env: { ...ownEnv(), ...opts.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (bytes: Buffer) => {
      said += bytes.toString();
    });
  }
  const gone = once(child, 'exit');
  const remove = async (): Promise<void> => {
    const workers = childrenOf(child.pid);
    child.kill('SIGKILL');
    await gone;
    // Workers that lost their supervisor drain first, and write while they do.
    for (const pid of workers) end(pid);
    await eventually(() => !workers.some(alive), START_MS);
    home.remove();
  };
  const ports = await eventually(
    () => GREETING.exec(said) ?? (child.exitCode !== null && []),
    START_MS,
  ).catch(() => []);
  if (ports.length === 0) {
    await remove();
    throw new Error(`it did not start:\n${said}`);
  }
  const token = readFileSync(join(home.dir, '.sallyport', 'admin.token'), 'utf8').trim();
  return {
    home,
    child,
    port: Number(ports[1]),
    adminPort: Number(ports[2]),
    said: () => said,
    token,
    adminUrl: `http://127.0.0.1:${ports[2]}`,
    admin: async (method, path, json) => {
      const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
      const sent = json === undefined ? {} : { body: JSON.stringify(json) };
      const answer = await fetch(`http://127.0.0.1:${ports[2]}${path}`, { method, headers, ...sent });
      const text = await answer.text();
      const isJson = /json/.test(answer.headers.get('content-type') ?? '');
      const body: unknown = isJson ? JSON.parse(text) : text;
      return { status: answer.status, body };
    },
    records: () => recordsBelow(join(home.dir, '.sallyport', 'audit')),
    gone,
    remove,
  };
}

/** Processes that a live process has started; none where it is gone. */
export function childrenOf(pid: number | undefined): number[] {
  try {
    const listed = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
    return listed.split(' ').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

function end(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Gone already, as it should be.
  }
}

/** A zombie that init has not collected yet writes no more. */
export function alive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

function recordsBelow(dir: string): Record<string, unknown>[] {
  const files = readdirSync(dir, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.jsonl'),
  );
  return files.sort().flatMap((name) => jsonLines(wholeLines(readFileSync(join(dir, name), 'utf8'))));
}

/** A live writer may be in the middle of a line. */
function wholeLines(text: string): string {
  return text.slice(0, text.lastIndexOf('\n') + 1);
}
