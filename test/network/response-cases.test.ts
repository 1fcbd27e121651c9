/** Every row of responses.json, written by a raw upstream and read behind a live proxy by a client of Node's. */
import { beforeAll, describe, expect, it } from 'vitest';
import { loadCases } from '../helpers/case-client.ts';
import { describeInNamespace, driveInNamespace } from '../helpers/netns.ts';
import {
  type Answer,
  isSearched,
  type ResponseReport,
  type ResponseResult,
  type ResponseRow,
  WAYS,
} from './drive/responses.ts';

const DRIVER = new URL('./drive/responses.ts', import.meta.url);
const LIMIT_MS = 90_000;
/** Rows about hosts with keys alone: elsewhere Content-Encoding is the client's to read. */
const SEARCHED_ONLY = new Set(['res-072']);

function verdictOf({ status, complete, body }: Answer): string {
  if (status === 502) return body.includes('upstream_bad_response') ? 'bad_gateway' : '502 of another reason';
  if (status === 0 || !complete) return 'abort';
  return 'deliver';
}

/** Who reads to the end of the connection cannot tell the two deliveries apart; who asks again can. */
function accepted(row: ResponseRow): string[] {
  return [row.expect, row.tolerate ?? row.expect].map((word) =>
    word === 'deliver_and_close' ? 'deliver' : word,
  );
}

describeInNamespace('responses.json through a live proxy', () => {
  const rows = loadCases<ResponseRow>('responses');
  let report: ResponseReport = { ways: {}, counters: 'not run' };

  beforeAll(async () => {
    report = await driveInNamespace<ResponseReport>(DRIVER, { limitMs: LIMIT_MS });
  }, LIMIT_MS);

  const found = (way: string, id: string): ResponseResult => {
    const result = report.ways[way]?.find((each) => each.id === id);
    if (result === undefined) throw new Error(`the driver did not run ${way} ${id}`);
    return result;
  };

  describe.each(WAYS)('upstream %s', (way) => {
    for (const row of rows) {
      const title = `${row.id}: ${row.expect} (${row.why})`;
      if (SEARCHED_ONLY.has(row.id) && !isSearched(way)) continue;
      it(title, () => {
        const got = found(way, row.id);
        const shown = JSON.stringify({ ...got, records: undefined }, null, 1).slice(0, 2_000);
        // A body that ends with the connection cannot end while the upstream stays.
        expect(accepted(row), shown).toContain(verdictOf(got.first));
        const lacks = row.check?.clientLacks;
        for (const name of lacks ?? []) expect(got.first.headers, shown).not.toHaveProperty(name);
        expect(got.first.status, shown).not.toBe(row.check?.clientStatusNot ?? -1);
        if (verdictOf(got.first) === 'deliver' && row.expect === 'deliver_and_close')
          expect(got.second, shown).toBeNull();
      });
    }

    it('shows the next request on the connection nothing of the answer before', () => {
      for (const { second, id } of report.ways[way] ?? []) {
        if (second !== null) expect([second.status, second.body], id).toEqual([200, 'clean']);
      }
    });

    it('records every request and its end once', () => {
      for (const { recordProblem, records, id } of report.ways[way] ?? []) {
        expect(recordProblem, id).toBeNull();
        expect(records.length, id).toBeGreaterThan(0);
      }
    });
  });

  it('counts what it records', () => {
    expect(report.counters).toBeNull();
  });
});
