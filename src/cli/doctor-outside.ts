/**
 * What `doctor` does to the world: connects, asks name servers, runs programs, reads files. A type, so that tests bring
 * a world of their own, and its one real form. Every call has a limit and none throws: an answer is a value.
 */
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { lookup } from 'node:dns';
import { readFileSync, statSync } from 'node:fs';
import { get } from 'node:http';
import { connect } from 'node:net';

export type Outside = {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** does a TCP connection open */
  connects(host: string, port: number): Promise<boolean>;
  /** does the name server at this address answer a question by UDP */
  answersDns(server: string): Promise<boolean>;
  /** addresses by the system's resolver; none: it gives none */
  resolve(name: string): Promise<readonly string[]>;
  /** an answer of the proxy itself; `null`: none came */
  ask(url: string, authorization: string | null): Promise<{ status: number; body: string } | null>;
  /** standard output and error together; `null`: there is no such program */
  run(program: string, args: readonly string[]): Promise<string | null>;
  /** a text of at most 1 MiB; `null`: no such file, or it cannot be read */
  read(file: string): string | null;
};

/** How long a connection or a question may take, in `ms`. */
const NETWORK_MS = 2_000;
/** How long a program may take, in `ms`. */
const PROGRAM_MS = 15_000;
const MAX_BYTES = 1_048_576;
const DNS_PORT = 53;
/** `example.com IN A`, recursion desired (RFC 1035 section 4). */
const QUESTION = Buffer.from('5a11010000010000000000000765786d616d706c6503636f6d0000010001', 'hex');

/** The machine that this process is on. */
export function realOutside(env: Outside['env'], cwd: string): Outside {
  return {
    env,
    cwd,
    connects,
    answersDns,
    resolve,
    ask,
    run: (program, args) => run(program, args, env),
    read,
  };
}

function connects(host: string, port: number): Promise<boolean> {
  return settle((done) => {
    const socket = connect({ host, port });
    socket.once('connect', () => done(true));
    socket.on('error', () => done(false));
    return () => socket.destroy();
  }, false);
}

function answersDns(server: string): Promise<boolean> {
  return settle((done) => {
    const socket = createSocket(server.includes(':') ? 'udp6' : 'udp4');
    socket.once('message', () => done(true));
    socket.on('error', () => done(false));
    socket.send(QUESTION, DNS_PORT, server, (error) => {
      if (error !== null) done(false);
    });
    return () => socket.close();
  }, false);
}

function resolve(name: string): Promise<readonly string[]> {
  return settle<readonly string[]>((done) => {
    lookup(name, { all: true }, (error, found) =>
      done(error === null ? found.map(({ address }) => address) : []),
    );
    return () => {};
  }, []);
}

function ask(url: string, authorization: string | null): Promise<{ status: number; body: string } | null> {
  return settle<{ status: number; body: string } | null>((done) => {
    const headers = authorization === null ? {} : { 'proxy-authorization': authorization };
    const request = get(url, { headers, agent: false }, (response) => {
      let body = '';
      response.on('data', (bytes: Buffer) => {
        body += bytes.toString();
        if (body.length > MAX_BYTES) done(null);
      });
      response.on('end', () => done({ status: response.statusCode ?? 0, body }));
      response.on('error', () => done(null));
    });
    request.on('error', () => done(null));
    return () => request.destroy();
  }, null);
}

/** One outcome, at the latest after the limit; `start` gives what ends it. */
function settle<T>(start: (done: (value: T) => void) => () => void, otherwise: T): Promise<T> {
  const { promise, resolve: fulfil } = Promise.withResolvers<T>();
  let end: (() => void) | null = null;
  let over = false;
  const done = (value: T): void => {
    if (over) return;
    over = true;
    clearTimeout(limit);
    fulfil(value);
    end?.();
  };
  const limit = setTimeout(done, NETWORK_MS, otherwise);
  end = start(done);
  if (over) end();
  return promise;
}

async function run(program: string, args: readonly string[], env: Outside['env']): Promise<string | null> {
  const { promise, resolve: fulfil } = Promise.withResolvers<string | null>();
  const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'], timeout: PROGRAM_MS });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (bytes: Buffer) => {
      if (text.length < MAX_BYTES) text += bytes.toString();
    });
  }
  child.on('error', () => fulfil(null));
  child.on('close', () => fulfil(text));
  return promise;
}

function read(file: string): string | null {
  try {
    const { size } = statSync(file);
    return size > MAX_BYTES ? null : readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}
