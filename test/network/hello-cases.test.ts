/** Every row of clienthello.json after a live CONNECT: what a tunnel lets through, and what interception answers. */
import { beforeAll, expect, it } from 'vitest';
import { loadCases } from '../helpers/case-client.ts';
import { describeInNamespace, driveInNamespace } from '../helpers/netns.ts';
import type { HelloReport, HelloResult, HelloRow } from './drive/hello.ts';

const DRIVER = new URL('./drive/hello.ts', import.meta.url);
const LIMIT_MS = 60_000;
/** One of these stands in the end record of a refused hello. */
const REASONS = ['sni_mismatch', 'not_tls'];
/**
 * Rows whose key share is random bytes and no ML-KEM key (FIPS 203 section 7.2): the hello passes the gate, and
 * then TLS itself must refuse it, with fatal illegal_parameter (RFC 8446 section 6.2).
 */
const NO_KEY = ['ch-36'];
const ILLEGAL_PARAMETER = Buffer.from([0x15, 3, 3, 0, 2, 2, 47]);

describeInNamespace('clienthello.json through a live proxy', () => {
  const rows = loadCases<HelloRow>('clienthello');
  const table = rows.map((row) => [row.id, row.expect, row.name, row] as const);
  let report: HelloReport = { tunnel: [], intercept: [], counters: 'not run' };

  beforeAll(async () => {
    report = await driveInNamespace<HelloReport>(DRIVER, { limitMs: LIMIT_MS });
  }, LIMIT_MS);

  const found = (
    results: readonly HelloResult[],
    id: string,
  ): { got: HelloResult; shown: string; answer: Buffer } => {
    const got = results.find((each) => each.id === id);
    if (got === undefined) throw new Error(`the driver did not run ${id}`);
    const answer = Buffer.from(got.heard.text.slice(got.heard.text.indexOf('\r\n\r\n') + 4), 'latin1');
    return { got, answer, shown: JSON.stringify(got, null, 1).slice(0, 2_000) };
  };
  const accepted = (row: HelloRow): string[] => [row.expect, row.tolerate ?? row.expect];

  it.each(table)('%s in a tunnel: %s (%s)', (id, _expect, _name, row) => {
    const { got, shown } = found(report.tunnel, id);
    expect(got.heard.text, shown).toMatch(/^HTTP\/1\.1 200 /);
    const arrived = Buffer.from(got.arrived ?? '', 'base64');
    expect(accepted(row), shown).toContain(arrived.length > 0 ? 'allow' : 'deny');
    if (arrived.length > 0) expect(arrived.equals(Buffer.from(row.rawBase64, 'base64')), shown).toBe(true);
    expect(got.heard.closed, shown).toBe(true);
  });

  it.each(table)('%s towards an intercepted host: %s (%s)', (id, _expect, _name, row) => {
    const { got, shown, answer } = found(report.intercept, id);
    expect(got.heard.text, shown).toMatch(/^HTTP\/1\.1 200 /);
    // Record type handshake, message type ServerHello.
    const greeted = answer[0] === 0x16 && answer[5] === 2;
    const reached = greeted || (NO_KEY.includes(id) && answer.equals(ILLEGAL_PARAMETER));
    expect(accepted(row), shown).toContain(reached ? 'allow' : 'deny');
    expect(got.arrived, shown).toBeNull();
    expect(got.heard.closed, shown).toBe(true);
  });

  it('names the reason of a refused hello in the one end record', () => {
    const refused = rows.filter((row) => row.expect === 'deny' && row.tolerate === undefined);
    for (const { id } of refused) {
      for (const results of [report.tunnel, report.intercept]) {
        const { got, shown } = found(results, id);
        expect(got.recordProblem, shown).toBeNull();
        expect(REASONS, shown).toContain(got.records.find((record) => record.kind === 'end')?.reason);
      }
    }
  });

  it('counts what it records', () => {
    expect(report.counters).toBeNull();
  });
});
