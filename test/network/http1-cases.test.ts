/** Every row of http1.json through a live proxy, clients known by their address, by a token, in small pieces, and inside a tunnel. */
import { beforeAll, describe, expect, it } from 'vitest';
import { statusesOf } from '../helpers/case-client.ts';
import { describeInNamespace, driveInNamespace } from '../helpers/netns.ts';
import { type Http1Report, type Http1Result, type Http1Row, PASSES, rowsOf } from './drive/http1.ts';

const DRIVER = new URL('./drive/http1.ts', import.meta.url);
const LIMIT_MS = 90_000;

/** What became of the row: the first word that holds. */
function verdictOf(row: Http1Row, got: Http1Result): string {
  const statuses = statusesOf(got.heard.text).slice(row.channel === 'tunnel' || opensTunnel(got) ? 1 : 0);
  const passed = statuses.filter((status) => status < 300).length;
  const refused = statuses.some((status) => status >= 400);
  if (row.completeUpstreamRequests > 0 && row.expect === 'reject') {
    return refused && passed === got.seen.length ? 'reject' : `passed ${passed}, refused ${refused}`;
  }
  if (got.seen.length > 0) return passed === got.seen.length ? 'forward' : 'forwarded without an answer';
  if (refused) return 'reject';
  return got.heard.closed && passed === 0 ? 'close' : 'left open';
}

/** A CONNECT of the row itself was let in. */
function opensTunnel(got: Http1Result): boolean {
  return got.records.some(
    (record) => record.stage === 'connect' && record.kind === 'decision' && record.verdict === 'allow',
  );
}

/** A refusal answers and closes: `reject` is as good where the row says `close`. */
function accepted(row: Http1Row): string[] {
  const words = [row.expect, row.tolerate ?? row.expect];
  return words.includes('close') ? [...words, 'reject'] : words;
}

const CHECKS: Readonly<Record<string, (got: Http1Result, wanted: unknown) => boolean>> = {
  auditRecords: ({ records }, wanted) =>
    records.filter((record) => record.kind === 'decision' && record.stage === 'request').length === wanted,
  trailersDroppedOrSafe: ({ seen }) =>
    !seen.some(({ trailers }) => 'authorization' in trailers || 'host' in trailers),
  upstreamContentLength: ({ seen }, wanted) => seen[0]?.headers['content-length'] === String(wanted),
  upstreamHost: ({ seen }, wanted) => seen[0]?.headers.host === wanted,
  upstreamTarget: ({ seen }, wanted) => seen[0]?.url === wanted,
  bodyBytes: ({ seen }, wanted) => seen.every(({ bodyBytes }) => bodyBytes === wanted),
  injectedHeaderPresentOrRequestDenied: ({ seen }) =>
    seen.every(({ headers }) => headers.authorization !== undefined),
  upstreamLacks: ({ seen }, wanted) =>
    Array.isArray(wanted) && seen.every(({ headers }) => wanted.every((name) => !(String(name) in headers))),
  clientHalfCloses: ({ heard }) => heard.closed,
  closesAfterFirst: ({ heard }) => heard.closed,
  // A second request that arrives in place of a refused first one is one too many as well.
  noSecondRequest: ({ seen }) => seen.length <= 1 && !seen.some(({ url }) => url.includes('smuggled')),
};

describeInNamespace('http1.json through a live proxy', () => {
  describe.each(PASSES)('%s', (pass) => {
    const rows = rowsOf(pass);
    const results = new Map<string, Http1Result>();
    let report: Http1Report = { rows: [], counters: [], undecided: -1 };

    beforeAll(async () => {
      report = await driveInNamespace<Http1Report>(DRIVER, {
        limitMs: LIMIT_MS,
        env: { SALLYPORT_PASS: pass },
      });
      for (const result of report.rows) results.set(result.id, result);
    }, LIMIT_MS);

    it.each(rows.map((row) => [row.id, row.expect, row.why, row] as const))(
      '%s: %s (%s)',
      (id, _expect, _why, row) => {
        const got = results.get(id);
        if (got === undefined) throw new Error('the driver did not run this row');
        const shown = JSON.stringify(got, null, 1).slice(0, 3_000);
        expect(accepted(row), shown).toContain(verdictOf(row, got));
        const rejected = got.seen.length === 0 && accepted(row).includes('reject');
        const complete = rejected && row.expect === 'forward' ? 0 : row.completeUpstreamRequests;
        expect(got.seen.length, shown).toBeLessThanOrEqual(
          Math.max(complete, row.tolerate === 'forward' ? 1 : 0),
        );
        expect(got.malformed, shown).toEqual([]);
        for (const [name, wanted] of Object.entries(row.check ?? {})) {
          // What did not go upstream has no form there.
          if (rejected && name.startsWith('upstream')) continue;
          expect(CHECKS[name]?.(got, wanted), `${name}: ${shown}`).toBe(true);
        }
      },
    );

    it('records every connection and request once, and every request that went upstream as allowed', () => {
      for (const { id, records, recordProblem, seen } of results.values()) {
        expect(recordProblem, id).toBeNull();
        expect(records.length, id).toBeGreaterThan(0);
        const allowed = records.filter(
          (record) => record.kind === 'decision' && record.stage === 'request' && record.verdict === 'allow',
        );
        expect(allowed.length, id).toBeGreaterThanOrEqual(seen.length);
      }
    });

    it('counts what it records', () => {
      expect(report.counters.length).toBeGreaterThan(0);
      expect(report.counters.filter((problem) => problem !== null)).toEqual([]);
    });

    it('has each decision in the audit file before the upstream sees the request', () => {
      expect(report.undecided).toBe(0);
    });
  });
});
