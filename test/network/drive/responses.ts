/**
 * Driver of `response-cases.test.ts`: every row of responses.json written by a hostile upstream, read by Node's
 * HTTP client behind a live proxy: inside intercepted TLS and in the clear, the upstream closing behind its bytes
 * and staying open. A second request on the same client connection shows what is left of the first.
 */
import http from 'node:http';
import net from 'node:net';
import tls from 'node:tls';
import { inLanes, loadCases, sourceAddress } from '../../helpers/case-client.ts';
import { startScripted } from '../../helpers/case-upstream.ts';
import {
  type AuditRecord,
  type CaseWorld,
  counterProblem,
  recordProblem,
  setUpNetwork,
  startCaseWorld,
} from '../../helpers/case-world.ts';
import { eventually } from '../../helpers/world.ts';

export type ResponseRow = {
  readonly id: string;
  readonly request: string;
  readonly expect: 'deliver' | 'bad_gateway' | 'abort' | 'deliver_and_close';
  readonly tolerate?: string;
  readonly rawBase64: string;
  readonly check?: { readonly clientLacks?: readonly string[]; readonly clientStatusNot?: number };
  readonly why: string;
};

export type Answer = {
  /** 0: no response head came; -1: none in time */
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
  /** the message came to its end */
  readonly complete: boolean;
};

export type ResponseResult = {
  readonly id: string;
  readonly first: Answer;
  /** of a second request on the same connection; null: it was closed */
  readonly second: Answer | null;
  readonly records: readonly AuditRecord[];
  readonly recordProblem: string | null;
};

export const WAYS = [
  'tls closing',
  'tls staying',
  'plain closing',
  'plain staying',
  'tls, searched for keys, closing',
  'tls, searched for keys, staying',
] as const;
/** Ways on which the host has a key, so that every answer is scrubbed. */
export const isSearched = (way: string): boolean => way.includes('searched');
export type ResponseReport = {
  readonly ways: Readonly<Record<string, readonly ResponseResult[]>>;
  readonly counters: string | null;
};

const LANES = 6;
const LIMIT_MS = 8_000;
const policyOf = (group: string, sources: string): string => `version: 1
group: ${group}
identify: { sources: [${sources}] }
rules:
  - { allow: up.test, ports: [80, 443], paths: ["/**"], idle: 1s }
`;
const PROFILE = `version: 1
profile: keys
secrets:
  - { env: API_KEY, from: "env:REAL_KEY", hosts: [up.test], in: [header] }
`;

const rows = loadCases<ResponseRow>('responses');

function script(path: string): { bytes: Buffer; end: boolean } {
  const [, id = '', how = ''] = path.split('/');
  const row = rows.find((each) => each.id === id);
  if (row === undefined)
    return { bytes: Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nclean'), end: false };
  return { bytes: Buffer.from(row.rawBase64, 'base64'), end: how === 'closing' };
}

async function connection(world: CaseWorld, from: string, secure: boolean): Promise<net.Socket> {
  const socket = net.connect({ host: '127.0.0.1', port: world.port, localAddress: from });
  socket.on('error', () => socket.destroy());
  if (!secure) return socket;
  socket.write('CONNECT up.test:443 HTTP/1.1\r\nHost: up.test:443\r\n\r\n');
  let head = '';
  const hear = (bytes: Buffer): void => {
    head += bytes.toString('latin1');
  };
  socket.on('data', hear);
  await eventually(() => head.includes('\r\n\r\n'));
  socket.off('data', hear);
  const inside = tls.connect({ socket, servername: 'up.test', ca: world.caPem });
  inside.on('error', () => inside.destroy());
  await eventually(() => inside.authorized);
  return inside;
}

function ask(agent: http.Agent, method: string, path: string, secure: boolean): Promise<Answer> {
  const { promise, resolve } = Promise.withResolvers<Answer>();
  const none: Answer = { status: 0, headers: {}, body: '', complete: false };
  const target = secure ? path : `http://up.test${path}`;
  const request = http.request({ method, path: target, headers: { host: 'up.test' }, agent });
  const limit = setTimeout(() => {
    resolve({ ...none, status: -1 });
    request.destroy();
  }, LIMIT_MS);
  request.on('error', () => {
    if (!answered) resolve(none);
  });
  let answered = false;
  request.on('close', () => {
    if (!answered) resolve(none);
  });
  request.on('response', (response) => {
    answered = true;
    let body = '';
    response.on('data', (bytes: Buffer) => {
      body += bytes.toString('latin1');
    });
    response.on('error', () => {});
    response.on('close', () => {
      const { statusCode = 0, headers, complete } = response;
      resolve({ status: statusCode, headers, body, complete });
    });
  });
  request.end();
  return promise.finally(() => clearTimeout(limit));
}

async function runRow(
  world: CaseWorld,
  row: ResponseRow,
  how: { from: string; secure: boolean; end: string },
): Promise<ResponseResult> {
  const socket = await connection(world, how.from, how.secure);
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  agent.createConnection = () => socket;
  const first = await ask(agent, row.request, `/${row.id}/${how.end}`, how.secure);
  // The proxy's FIN is at most one turn behind the answer.
  await new Promise((resolve) => setTimeout(resolve, 20));
  const isClosed = socket.destroyed || socket.readableEnded;
  const asked = isClosed ? null : await ask(agent, 'GET', '/next', how.secure);
  // Where the machine was busy it comes behind the question, which then has no answer at all.
  const second = asked?.status === 0 ? null : asked;
  socket.destroy();
  const records = await world.recordsOf(how.from, how.secure ? 2 : 1);
  return { id: row.id, first, second, records, recordProblem: recordProblem(records) };
}

async function main(): Promise<void> {
  setUpNetwork();
  await startScripted(script, { port: 443, name: 'up.test' });
  await startScripted(script, { port: 80, name: null });
  const world = await startCaseWorld({
    policies: {
      'rows.yaml': policyOf('rows', '127.0.0.0/8'),
      'keyed.yaml': `${policyOf('keyed', '127.24.0.0/15')}profile: keys\n`,
      'profiles/keys.yaml': PROFILE,
    },
    env: { REAL_KEY: 'ghp_REALgithub0123456789abcdefghijklmnop' },
    zone: { 'up.test': { a: ['8.8.8.8'] } },
  });
  const ways: Record<string, readonly ResponseResult[]> = {};
  for (const [number, way] of WAYS.entries()) {
    const secure = way.startsWith('tls');
    const end = way.endsWith('closing') ? 'closing' : 'staying';
    ways[way] = await inLanes(rows, LANES, (row, index) =>
      runRow(world, row, { from: sourceAddress(`127.${20 + number}`, index), secure, end }),
    );
  }
  await eventually(async () => (await counterProblem(world)) === null).catch(() => undefined);
  const counters = await counterProblem(world);
  await world.stop();
  const report: ResponseReport = { ways, counters };
  process.stdout.write(JSON.stringify(report));
}

if (import.meta.main) await main();
