/**
 * What must hold of the process before a command loads that will hold real keys: no inspector, no option of Node
 * that writes memory or traffic out, no core dumps. Called by `sallyport.js`, before anything else is imported.
 * `start` goes on in a fresh image of the same process (the same id, streams and arguments), because only a shell
 * can lower the limit of core files and only an option of Node closes SIGUSR1 from the first moment. Its workers
 * inherit both. What is not done: PR_SET_DUMPABLE, which Node cannot set; see README, "Limits".
 */
import { accessSync, constants, readFileSync, writeFileSync } from 'node:fs';
import { url as inspectorUrl } from 'node:inspector';

const SHELL = '/bin/sh';
const NO_SIGNAL = '--disable-sigusr1';
/**
 * Not for safety, but only a new image can have it: V8 lets the young generation grow to three times this many MiB, by
 * itself to several times that where the machine has much memory. What a connection leaves behind is gone with it:
 * more room holds garbage, less copies connections that are about to end. Whoever sets it otherwise is heard.
 */
const YOUNG = '--max-semi-space-size';
const YOUNG_MIB = 16;
/** The second image knows by it that it is the second. */
const TRIED = 'SALLYPORT_STARTED_AGAIN';
/** Commands that hold keys for as long as they run. */
const SERVING: ReadonlySet<string> = new Set(['start', 'worker']);

/** Options that write memory, keys of TLS sessions or traffic where somebody else can read them. */
const TELLING =
  /^--(?:inspect(?:-brk|-wait|-brk-node)?|heapsnapshot-.*|heap-prof|report-(?:on-.*|uncaught-exception)|abort-on-uncaught-exception|tls-keylog|trace-tls)$/;
/** `tls`, `http2` and `net` print what passes. */
const TELLING_VARIABLES = ['NODE_DEBUG', 'NODE_DEBUG_NATIVE'] as const;

/** What the guard looks at; tests bring their own. */
export type Facts = {
  readonly execArgv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** where the inspector listens */
  readonly inspector: string | undefined;
};

/**
 * Status to end with, or `null` to go on. `start` comes back from here in the second image alone, unless this system
 * has no shell to go through. Says on standard error why it refuses, and what it could not close.
 */
export function guardProcess(script: string): 2 | null {
  const command = process.argv[2] ?? '';
  keepMemoryOutOfDumps();
  if (!SERVING.has(command)) return null;
  const { execArgv, env } = process;
  const problem = problemOf({ execArgv, env, inspector: inspectorUrl() });
  if (problem !== null) {
    process.stderr.write(`sallyport: ${problem}\n`);
    return 2;
  }
  // Where the option is missing (a Node that cannot be replaced): the listener takes the signal from the inspector.
  process.on('SIGUSR1', () => {});
  // A manager may reload what it has only just started: what is to be read again has not been read yet.
  process.on('SIGHUP', () => {});
  if (command === 'start') startAgain(script);
  process.on('uncaughtException', dieQuietly);
  return null;
}

/**
 * Where it happened, and nothing of what it happened to: Node would print the message and all members of the error,
 * which may quote a request with a key in it. What was open gets its end records at the next start.
 */
function dieQuietly(error: unknown): never {
  process.stderr.write(`sallyport: ended by an error in the program\n${placeOf(error)}\n`);
  process.exit(1);
}

/** Kind, code and calls of an error; with SALLYPORT_DEBUG its message as well. */
export function placeOf(error: unknown, debug = (process.env['SALLYPORT_DEBUG'] ?? '') !== ''): string {
  if (!(error instanceof Error)) return typeof error;
  const stack = error.stack ?? '';
  if (debug) return stack;
  const calls = stack.split('\n').filter((line) => CALL.test(line));
  const code =
    'code' in error && typeof error.code === 'string' && CODE.test(error.code) ? ` ${error.code}` : '';
  return [`${error.constructor.name}${code}`, ...calls].join('\n');
}

/** A line of a stack trace, which a message of several lines could not pass for: places in our files or in Node. */
const CALL =
  /^ {4}at (?:async )?(?:[\w.$<>[\]# ]{1,120} \()?(?:file:\/\/\/|node:|\/)[\w./@+-]{1,240}:\d+:\d+\)?$/;
const CODE = /^[A-Z][A-Z0-9_]{1,60}$/;

/** Why the command must not run; `null`: it may. */
export function problemOf({ execArgv, env, inspector }: Facts): string | null {
  const words = [...execArgv, ...(env['NODE_OPTIONS'] ?? '').split(/\s+/)];
  const option = words.map(nameOf).find((one) => TELLING.test(one));
  const variable = TELLING_VARIABLES.find((name) => (env[name] ?? '') !== '');
  const found = option ?? variable ?? (inspector === undefined ? undefined : 'an open inspector');
  if (found === undefined) return null;
  return `start refuses to run with ${found}: it would show the keys that this process holds; take it out of the command line, NODE_OPTIONS or the environment`;
}

/** Node reads underscores as dashes and takes quotes away; what stands behind `=` may be anything. */
function nameOf(word: string): string {
  return (word.replace(/["\\]/g, '').split('=')[0] ?? '').replaceAll('_', '-');
}

/** The soft limit in the text of /proc/PID/limits: `0` is none; `null` where it cannot be told. */
export function coreLimit(limits: string): string | null {
  return /^Max core file size\s+(\S+)/m.exec(limits)?.[1] ?? null;
}

/**
 * Linux: a dump of this process, wherever it goes, holds no memory. The limit of core files does not bind a system
 * that pipes them into a program; this does. It outlives the change of image and is inherited by workers.
 */
function keepMemoryOutOfDumps(): void {
  try {
    writeFileSync('/proc/self/coredump_filter', '0');
  } catch {
    // No such file where the system is another; the limit is asked for all the same.
  }
}

/** Once: what could not be lowered then, or is not known here, is not tried again. */
function startAgain(script: string): void {
  const limit = coreLimit(readLimits());
  const tried = process.env[TRIED] !== undefined;
  delete process.env[TRIED];
  if (!tried && typeof process.execve === 'function') {
    const options = process.execArgv.filter((one) => one !== NO_SIGNAL);
    const sized = namesYoung([...options, process.env['NODE_OPTIONS'] ?? '']);
    if (!sized) options.push(`${YOUNG}=${YOUNG_MIB}`);
    const again = [process.execPath, ...options, NO_SIGNAL, script, ...process.argv.slice(2)];
    const env = { ...process.env, [TRIED]: '1' };
    // `-S`: the soft limit, which no hard limit forbids to lower.
    const lowered = ['sh', '-c', 'ulimit -S -c 0 2>/dev/null; exec "$@"', 'sh', ...again];
    if (limit !== '0' && isProgram(SHELL)) process.execve(SHELL, lowered, env);
    if (!sized || !process.execArgv.includes(NO_SIGNAL)) process.execve(process.execPath, again, env);
  }
  if (limit !== null && limit !== '0') {
    process.stderr.write(`sallyport: core dumps are not off (limit ${limit}); start with: ulimit -c 0\n`);
  }
}

function namesYoung(options: readonly string[]): boolean {
  return options.some((one) => one.replaceAll('_', '-').includes(YOUNG));
}

function readLimits(): string {
  try {
    return readFileSync('/proc/self/limits', 'utf8');
  } catch {
    return ''; // another system: nothing is known, and nothing is said
  }
}

/** A failed `execve` ends the process, so it is asked before. */
function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
