/**
 * Runs a program that prints a key: no shell, a process group of its own, few variables, a limit for what it prints.
 * When its time is over the whole group is killed, so nothing it started lingers. What it prints on either side
 * is never logged or put into an error. Used by `command.ts` and `stronghold.ts`.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { SecretSourceError } from './source.ts';

type Env = Readonly<Record<string, string | undefined>>;

export type ProgramAsk = {
  readonly argv: readonly string[];
  /** working folder */
  readonly cwd: string;
  readonly env: Env;
  /** of its standard output */
  readonly maxBytes: number;
  /** kills it */
  readonly signal: AbortSignal;
};

/** After the program ended, what it left behind may hold its output open for so long. */
const LINGER_MS = 250;

/** What programs need to work at all: paths, home, language, trust and proxies. Nothing of ours, no keys. */
const PASSED =
  /^(?:PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_[A-Z]+|TZ|TMPDIR|TERM|XDG_[A-Z]+_(?:HOME|DIR)|SSL_CERT_(?:FILE|DIR)|(?:HTTPS|NO)_PROXY|(?:https|no)_proxy)$/;

/** `SALLYPORT_COMMAND_ENV`: names of further variables, separated by commas, that an operator lets through. */
export function reducedEnv(env: Env, more: readonly RegExp[] = []): Record<string, string> {
  const named = (env['SALLYPORT_COMMAND_ENV'] ?? '').split(',').map((name) => name.trim());
  const rows = Object.entries(env).flatMap(([name, value]) => {
    const wanted = named.includes(name) || [PASSED, ...more].some((pattern) => pattern.test(name));
    return wanted && value !== undefined ? [[name, value] as const] : [];
  });
  return Object.fromEntries(rows);
}

/**
 * Standard output, when the program ended with status 0. Throws SecretSourceError: `not_found` where there is no
 * such program, `too_large`, `unreadable` for every other end.
 */
export function runProgram(ask: ProgramAsk): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  // Without pipes where the process has no descriptors left: the type of `spawn` does not say so, its `error` event does.
  const child: ChildProcess = spawn(ask.argv[0] ?? '', ask.argv.slice(1), {
    cwd: ask.cwd,
    env: { ...ask.env },
    stdio: ['ignore', 'pipe', 'ignore'],
    // A group of its own, and no terminal to prompt on.
    detached: true,
  });
  const chunks: Buffer[] = [];
  let bytes = 0;
  let ended: { readonly status: number | null } | null = null;
  let linger: NodeJS.Timeout | undefined;
  let settled = false;

  const settle = (failure: SecretSourceError | null): void => {
    settled = true;
    ask.signal.removeEventListener('abort', stop);
    clearTimeout(linger);
    child.stdout?.destroy();
    const output = Buffer.concat(chunks);
    for (const chunk of chunks) chunk.fill(0);
    chunks.length = 0;
    if (failure === null) return resolve(output);
    output.fill(0);
    return reject(failure);
  };
  const stop = (): void => {
    killGroup(child);
    settle(new SecretSourceError('unreadable', 'the program was stopped'));
  };
  const finish = (): void => {
    if (ended === null) return;
    const { status } = ended;
    const how = status === null ? 'was killed' : `ended with status ${status}`;
    settle(status === 0 ? null : new SecretSourceError('unreadable', `the program ${how}`));
  };

  child.on('error', (error) => settle(startFailure(error)));
  child.on('exit', (status) => {
    if (settled) return; // killed, with its group
    ended = { status };
    linger = setTimeout(() => {
      killGroup(child);
      finish();
    }, LINGER_MS);
  });
  child.on('close', finish);
  child.stdout?.on('error', () => {}); // its end is told by `close`
  child.stdout?.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes <= ask.maxBytes) return;
    killGroup(child);
    settle(new SecretSourceError('too_large', `the program printed more than ${ask.maxBytes} bytes`));
  });
  ask.signal.addEventListener('abort', stop, { once: true });
  if (ask.signal.aborted) stop();
  return promise;
}

function startFailure(error: Error): SecretSourceError {
  const code = 'code' in error ? error.code : null;
  if (code === 'ENOENT') return new SecretSourceError('not_found', 'there is no such program');
  if (code === 'EACCES') return new SecretSourceError('unreadable', 'the program may not be run');
  return new SecretSourceError('unreadable', 'the program could not be started');
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // It is gone: nothing to kill.
  }
}
