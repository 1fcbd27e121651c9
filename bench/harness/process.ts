/** Starts programs on one core each, tells when they listen, finds their children, ends them by id. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const READY_MS = 20_000;
const STOP_MS = 5_000;

export type Running = {
  /** ids of the program and everything it started, as of now */
  readonly pids: () => number[];
  readonly stop: () => Promise<void>;
};

/** Runs `command` pinned to `core`, its output in `log`; resolves once something accepts on `port`. */
export async function startPinned(opts: {
  name: string;
  core: number;
  command: string;
  args: string[];
  port: number;
  log: string;
  cwd?: string;
  env?: Record<string, string>;
}): Promise<Running> {
  const log = openSync(opts.log, 'a');
  const child = spawn('taskset', ['-c', String(opts.core), opts.command, ...opts.args], {
    stdio: ['ignore', log, log],
    ...(opts.cwd === undefined ? {} : { cwd: opts.cwd }),
    env: { ...process.env, ...opts.env },
  });
  const { pid } = child;
  if (pid === undefined) throw new Error(`${opts.name} could not be started`);
  const running = { pids: () => family(pid), stop: () => stop(child) };
  try {
    await listening(opts.name, child, opts.port);
  } catch (cause) {
    await running.stop();
    const tail = readFileSync(opts.log, 'utf8').slice(-600).trim();
    throw new Error(`${opts.name} did not start: ${tail}`, { cause });
  }
  return running;
}

/** A port that is free now, on loopback. */
export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

/** Is the program on PATH or where Debian keeps its daemons; the path to run, or `undefined`. */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/sbin'];
  return folders.map((folder) => `${folder}/${name}`).find(isFile);
}

/** Ids of the processes that listen on `port`, with their families; for peers that someone else started. */
export function listenersOf(port: number): number[] {
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const inodes = new Set(
    ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((table) =>
      lines(table)
        .map((line) => line.trim().split(/\s+/))
        .filter((cells) => cells[1]?.endsWith(wanted) && cells[3] === '0A')
        .map((cells) => `socket:[${cells[9]}]`),
    ),
  );
  const owners = processIds().filter((pid) => openFiles(pid).some((file) => inodes.has(file)));
  return [...new Set(owners.flatMap(family))];
}

async function listening(name: string, child: ChildProcess, port: number): Promise<void> {
  const deadline = Date.now() + READY_MS;
  while (Date.now() < deadline) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`${name} ended`);
    if (await accepts(port)) return;
    await sleep(50);
  }
  throw new Error(`${name} did not listen on port ${port} within ${READY_MS / 1000} s`);
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const rest = family(child.pid).filter((pid) => pid !== child.pid);
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  await Promise.race([gone, sleep(STOP_MS, undefined, { ref: false })]);
  if (child.exitCode === null && child.signalCode === null) {
    child.kill('SIGKILL');
    await gone;
  }
  for (const pid of rest) end(pid);
}

/** A child that outlived its parent; the id is still ours only while its parent link or group says so. */
function end(pid: number): void {
  try {
    if (parentOf(pid) === 1 || parentOf(pid) === process.pid) process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended by itself, which is what was wanted.
  }
}

function family(root: number): number[] {
  const parents = new Map(processIds().map((pid) => [pid, parentOf(pid)]));
  const found = [root];
  for (const member of found) {
    for (const [pid, parent] of parents) if (parent === member) found.push(pid);
  }
  return found;
}

function processIds(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

function parentOf(pid: number): number {
  const line = lines(`/proc/${pid}/status`).find((text) => text.startsWith('PPid:'));
  return Number(line?.slice(5) ?? 0);
}

function openFiles(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).map((name) => readlinkSync(`/proc/${pid}/fd/${name}`));
  } catch {
    return []; // ended, or another user's
  }
}

function lines(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\n');
  } catch {
    return []; // a process that ended while we looked
  }
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}
