/**
 * Driver of `hello-cases.test.ts`: every row of clienthello.json after the 200 of a CONNECT, on a host that is
 * tunnelled (a recorder keeps what arrives) and on the same host intercepted for another group.
 */
import { type Heard, loadCases, say, sourceAddress } from '../../helpers/case-client.ts';
import { startRecorder } from '../../helpers/case-upstream.ts';
import {
  type AuditRecord,
  counterProblem,
  recordProblem,
  setUpNetwork,
  startCaseWorld,
} from '../../helpers/case-world.ts';
import { eventually } from '../../helpers/world.ts';

export type HelloRow = {
  readonly id: string;
  readonly name: string;
  readonly connect: string;
  readonly expect: 'allow' | 'deny';
  readonly tolerate?: string;
  readonly rawBase64: string;
  readonly sendInSegmentsOf?: number;
  readonly gapMs?: number;
  readonly why: string;
};

export type HelloResult = {
  readonly id: string;
  readonly heard: Heard;
  /** base64 of what the upstream got; null: it was not connected */
  readonly arrived: string | null;
  readonly records: readonly AuditRecord[];
  readonly recordProblem: string | null;
};

export type HelloReport = {
  readonly tunnel: readonly HelloResult[];
  readonly intercept: readonly HelloResult[];
  readonly counters: string | null;
};

const HOSTS = '[api.example.com, other.example.com, "*.example.net"]';
const POLICIES = {
  'tunnel.yaml': `version: 1
group: tunnelled
identify: { sources: [127.30.0.0/16] }
rules: [{ allow: ${HOSTS} }]
`,
  'intercept.yaml': `version: 1
group: intercepted
identify: { sources: [127.31.0.0/16] }
rules: [{ allow: ${HOSTS}, paths: ["/**"] }]
`,
};

async function main(): Promise<void> {
  setUpNetwork();
  const recordings = await startRecorder(443);
  const world = await startCaseWorld({
    policies: POLICIES,
    zone: { 'api.example.com': { a: ['93.184.215.14'] }, 'other.example.com': { a: ['93.184.215.15'] } },
  });
  const run = async (net16: string): Promise<HelloResult[]> => {
    const results: HelloResult[] = [];
    // One by one: a recording has no name on it.
    for (const [index, row] of loadCases<HelloRow>('clienthello').entries()) {
      const before = recordings.length;
      const from = sourceAddress(net16, index);
      const heard = await say({
        port: world.port,
        from,
        bytes: Buffer.from(row.rawBase64, 'base64'),
        segment: row.sendInSegmentsOf,
        gapMs: row.gapMs,
        opening: Buffer.from(`CONNECT ${row.connect} HTTP/1.1\r\nHost: ${row.connect}\r\n\r\n`),
      });
      const records = await world.recordsOf(from);
      const arrived = recordings[before]?.bytes.toString('base64') ?? null;
      results.push({ id: row.id, heard, arrived, records, recordProblem: recordProblem(records) });
    }
    return results;
  };
  const tunnel = await run('127.30');
  const intercept = await run('127.31');
  await eventually(async () => (await counterProblem(world)) === null).catch(() => undefined);
  const counters = await counterProblem(world);
  await world.stop();
  const report: HelloReport = { tunnel, intercept, counters };
  process.stdout.write(JSON.stringify(report));
}

if (import.meta.main) await main();
