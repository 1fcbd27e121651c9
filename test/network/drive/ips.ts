/**
 * Driver of `ip-cases.test.ts`: every address of ips.json as the answer of a name that `*` allows, and as a literal
 * in a CONNECT: once where only `*` is allowed, once where the literal itself is listed. Every public address
 * of the namespace reaches a recorder, so that an address that passed is seen to be the one dialled.
 */
import { isIPv4, isIPv6 } from 'node:net';
import { type Heard, inLanes, loadCases, say, sourceAddress } from '../../helpers/case-client.ts';
import { startRecorder } from '../../helpers/case-upstream.ts';
import {
  type AuditRecord,
  counterProblem,
  recordProblem,
  setUpNetwork,
  startCaseWorld,
} from '../../helpers/case-world.ts';
import type { StubScript } from '../../helpers/dns-stub.ts';
import { eventually } from '../../helpers/world.ts';

export type IpRow = {
  readonly id: string;
  readonly ip: string;
  readonly expectPrivate: boolean;
  readonly kind: string;
  readonly tolerate?: 'block' | 'allow';
  readonly why: string;
};

export type IpAnswer = {
  readonly id: string;
  readonly heard: Heard;
  readonly records: readonly AuditRecord[];
  readonly recordProblem: string | null;
};

export type IpReport = {
  /** as a DNS answer; rows that no record can express are left out */
  readonly answers: readonly IpAnswer[];
  /** as a literal, `*` allowed */
  readonly literals: readonly IpAnswer[];
  /** as a literal that the policy lists in canonical form */
  readonly listed: readonly IpAnswer[];
  /** addresses on which upstreams were connected to */
  readonly connections: readonly string[];
  readonly counters: string | null;
};

const LANES = 6;

/** Can a record of DNS carry it? */
export function isAddress(ip: string): boolean {
  return isIPv4(ip) || (isIPv6(ip) && !ip.includes('%'));
}

/** RFC 5952, by the URL parser: not by the code under test. */
export function canonical(ip: string): string {
  return isIPv4(ip) ? ip : new URL(`http://[${ip}]`).hostname.slice(1, -1);
}

function authority(ip: string): string {
  return ip.includes(':') && !ip.startsWith('[') ? `[${ip}]:443` : `${ip}:443`;
}

function policy(group: string, source: string, hosts: readonly string[]): string {
  return JSON.stringify({ version: 1, group, identify: { sources: [source] }, rules: [{ allow: hosts }] });
}

async function main(): Promise<void> {
  setUpNetwork();
  const recorded = await startRecorder(443);
  const rows = loadCases<IpRow>('ips');
  const real = rows.filter(({ ip }) => isAddress(ip));
  const zone: Record<string, StubScript> = {};
  for (const { id, ip } of real)
    zone[`${id}.rows.test`] = isIPv4(ip) ? { a: [ip] } : { aaaa: [canonical(ip)] };
  const world = await startCaseWorld({
    policies: {
      'any.yaml': policy('any', '127.40.0.0/15', ['*']),
      'listed.yaml': policy('listed', '127.42.0.0/16', [...new Set(real.map(({ ip }) => canonical(ip)))]),
    },
    zone,
  });
  const run = (list: readonly IpRow[], net16: string, to: (row: IpRow) => string): Promise<IpAnswer[]> =>
    inLanes(list, LANES, async (row, index) => {
      const from = sourceAddress(net16, index);
      const bytes = Buffer.from(`CONNECT ${to(row)} HTTP/1.1\r\nHost: ${to(row)}\r\n\r\n`, 'utf8');
      const heard = await say({ port: world.port, from, bytes });
      const records = await world.recordsOf(from);
      return { id: row.id, heard, records, recordProblem: recordProblem(records) };
    });
  const answers = await run(real, '127.40', ({ id }) => `${id}.rows.test:443`);
  const connections = recorded.map(({ at }) => at);
  const literals = await run(rows, '127.41', ({ ip }) => authority(ip));
  const listed = await run(real, '127.42', ({ ip }) => authority(ip));
  await eventually(async () => (await counterProblem(world)) === null).catch(() => undefined);
  const counters = await counterProblem(world);
  await world.stop();
  const report: IpReport = { answers, literals, listed, connections, counters };
  process.stdout.write(JSON.stringify(report));
}

if (import.meta.main) await main();
