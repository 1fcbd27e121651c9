/**
 * Driver of `http1-cases.test.ts`: every row of http1.json through two live proxies at a time, each with an
 * upstream address of its own so that complete requests can be counted per row. SALLYPORT_PASS: clients known by
 * their address (up.test intercepted for a bound key), by a token (for a rule with paths), or by their address
 * with the bytes in small pieces, or with the rows for the listener moved into the tunnel.
 */
import { type Heard, inLanes, loadCases, say, sourceAddress } from '../../helpers/case-client.ts';
import { type Complete, startHttpUpstreams } from '../../helpers/case-upstream.ts';
import {
  type AuditRecord,
  type CaseWorld,
  counterProblem,
  recordProblem,
  setUpNetwork,
  startCaseWorld,
} from '../../helpers/case-world.ts';
import { eventually } from '../../helpers/world.ts';

export type Http1Row = {
  readonly id: string;
  readonly channel: 'proxy' | 'tunnel';
  readonly expect: 'reject' | 'forward' | 'close';
  readonly tolerate?: string;
  readonly completeUpstreamRequests: number;
  readonly rawBase64: string;
  readonly authInsertAt?: readonly number[];
  readonly check?: Readonly<Record<string, unknown>>;
  readonly why: string;
};

export type Http1Result = {
  readonly id: string;
  readonly heard: Heard;
  readonly seen: readonly Complete[];
  readonly malformed: readonly { readonly code: string }[];
  readonly records: readonly AuditRecord[];
  readonly recordProblem: string | null;
};

export type Http1Report = {
  readonly rows: readonly Http1Result[];
  readonly counters: readonly (string | null)[];
  /** requests whose head reached an upstream before a decision for it stood in the audit file */
  readonly undecided: number;
};

export const PASSES = ['source', 'token', 'pieces', 'inside'] as const;
/** Bytes per write in the pass of pieces; the long rows in larger ones. */
const PIECE = 3;
const LONG_PIECE = 1_000;
const LANES = 3;
const KEY = 'sk-live-1234567890abcdef1234567890abcdef';

const POLICIES: Readonly<Record<'source' | 'token', Readonly<Record<string, string>>>> = {
  source: {
    'rows.yaml': `version: 1
group: rows
identify: { sources: [127.0.0.0/8] }
rules:
  - { allow: up.test, ports: [80, 443] }
  - { allow: other-allowed.test, ports: [80, 443] }
profile: keys
`,
    'profiles/keys.yaml': `version: 1
profile: keys
secrets: [{ env: UP_KEY, from: "env:CASE_KEY", hosts: [up.test] }]
`,
  },
  token: {
    'rows.yaml': `version: 1
group: rows
identify: { token: required }
rules:
  - { allow: up.test, ports: [80, 443], paths: ["/**"] }
  - { allow: other-allowed.test, ports: [80, 443] }
`,
  },
};

async function startLane(
  lane: number,
  pass: (typeof PASSES)[number],
): Promise<{ world: CaseWorld; at: string; auth: string }> {
  const at = `8.8.8.${10 + lane}`;
  const zone = { 'up.test': { a: [at] }, 'other-allowed.test': { a: [at] }, 'evil.test': { a: [at] } };
  const world = await startCaseWorld({
    policies: POLICIES[pass === 'token' ? 'token' : 'source'],
    zone,
    env: { CASE_KEY: KEY },
  });
  if (pass !== 'token') return { world, at, auth: '' };
  const created: unknown = JSON.parse(world.run(['token', 'create', '--group', 'rows', '--json']));
  const { token } = created as { token: string };
  return {
    world,
    at,
    auth: `Proxy-Authorization: Basic ${Buffer.from(`row:${token}`).toString('base64')}\r\n`,
  };
}

function withLine(row: Http1Row, line: string): Buffer {
  let bytes: Buffer = Buffer.from(row.rawBase64, 'base64');
  for (const at of row.authInsertAt ?? []) {
    bytes = Buffer.concat([bytes.subarray(0, at), Buffer.from(line, 'latin1'), bytes.subarray(at)]);
  }
  return bytes;
}

/** Rows for the listener whose fault is not in the request target, as they would be written inside a tunnel. */
const MOVABLE = /^([!-~]+ )http:\/\/up\.test(?=[/ ])\/?([!-~]* HTTP\/1\.1\r\n)/;

export function insideTunnel(row: Http1Row): Http1Row | null {
  const raw = Buffer.from(row.rawBase64, 'base64').toString('latin1');
  const known = raw.includes('http://up.test', raw.indexOf('\r\n')) ? null : MOVABLE.exec(raw);
  if (row.channel !== 'proxy' || known === null) return null;
  const moved = raw.replace(MOVABLE, '$1/$2');
  return {
    ...row,
    channel: 'tunnel',
    authInsertAt: [],
    rawBase64: Buffer.from(moved, 'latin1').toString('base64'),
  };
}

export function rowsOf(pass: (typeof PASSES)[number]): readonly Http1Row[] {
  const rows = loadCases<Http1Row>('http1');
  return pass === 'inside' ? rows.flatMap((row) => insideTunnel(row) ?? []) : rows;
}

async function main(): Promise<void> {
  const pass = PASSES.find((name) => name === process.env['SALLYPORT_PASS']) ?? 'source';
  setUpNetwork();
  const heads = new Map<string, number>();
  let undecided = 0;
  const onHead = (at: string): void => {
    heads.set(at, (heads.get(at) ?? 0) + 1);
    const records = lanes.find((lane) => lane.at === at)?.world.audit() ?? [];
    const decided = records.filter(
      ({ stage, verdict, kind }) => kind === 'decision' && stage === 'request' && verdict === 'allow',
    );
    if (decided.length < (heads.get(at) ?? 0)) undecided += 1;
  };
  const upstreams = await startHttpUpstreams('up.test', onHead);
  const lanes = await Promise.all(Array.from({ length: LANES }, (_, lane) => startLane(lane, pass)));
  const rows = await inLanes(rowsOf(pass), LANES, async (row, index, lane) => {
    const use = lanes[lane];
    if (use === undefined) throw new Error('no lane');
    const { world, at, auth } = use;
    const from = sourceAddress('127.10', index);
    const here = <Item extends { at: string }>(items: readonly Item[]): Item[] =>
      items.filter((item) => item.at === at);
    const before = { seen: here(upstreams.seen).length, malformed: here(upstreams.malformed).length };
    // The offsets stand last first, so that each insertion leaves the others where they were.
    const offsets = { ...row, authInsertAt: [...(row.authInsertAt ?? [])].sort((a, b) => b - a) };
    const bytes = withLine(offsets, auth);
    const opening = Buffer.from(`CONNECT up.test:443 HTTP/1.1\r\nHost: up.test:443\r\n${auth}\r\n`);
    const heard = await say({
      port: world.port,
      from,
      bytes,
      ...(pass === 'pieces' ? { segment: bytes.length > 2_000 ? LONG_PIECE : PIECE, gapMs: 0 } : {}),
      ...(row.channel === 'tunnel' ? { opening, tls: { ca: world.caPem, servername: 'up.test' } } : {}),
    });
    const records = await world.recordsOf(from);
    return {
      id: row.id,
      heard: { ...heard, text: heard.text.slice(0, 2_000) },
      seen: here(upstreams.seen).slice(before.seen),
      malformed: here(upstreams.malformed).slice(before.malformed),
      records,
      recordProblem: recordProblem(records),
    };
  });
  const counters: (string | null)[] = [];
  for (const { world } of lanes) {
    await eventually(async () => (await counterProblem(world)) === null).catch(() => undefined);
    counters.push(await counterProblem(world));
    await world.stop();
  }
  const report: Http1Report = { rows, counters, undecided };
  process.stdout.write(JSON.stringify(report));
}

if (import.meta.main) await main();
