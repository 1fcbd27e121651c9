/** Every row of ips.json as a DNS answer and as a literal, through a live proxy. */
import { beforeAll, expect, it } from 'vitest';
import { loadCases, statusesOf } from '../helpers/case-client.ts';
import { describeInNamespace, driveInNamespace } from '../helpers/netns.ts';
import { canonical, type IpAnswer, type IpReport, type IpRow, isAddress } from './drive/ips.ts';

const DRIVER = new URL('./drive/ips.ts', import.meta.url);
const LIMIT_MS = 90_000;

/** An IPv4-mapped address is IPv4 to a socket. */
function dialledAs(ip: string): string {
  const halves = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(canonical(ip))?.slice(1);
  const octets = halves?.flatMap((half) => [
    Number.parseInt(half, 16) >> 8,
    Number.parseInt(half, 16) & 0xff,
  ]);
  return octets?.join('.') ?? canonical(ip);
}

describeInNamespace('ips.json through a live proxy', () => {
  const rows = loadCases<IpRow>('ips');
  const real = rows.filter(({ ip }) => isAddress(ip));
  let report: IpReport = { answers: [], literals: [], listed: [], connections: [], counters: 'not run' };

  beforeAll(async () => {
    report = await driveInNamespace<IpReport>(DRIVER, { limitMs: LIMIT_MS });
  }, LIMIT_MS);

  const found = (
    answers: readonly IpAnswer[],
    id: string,
  ): { got: IpAnswer; status: number; reason: string | null; shown: string } => {
    const got = answers.find((each) => each.id === id);
    if (got === undefined) throw new Error(`the driver did not run ${id}`);
    const reason = got.records.find(({ kind }) => kind === 'decision')?.reason ?? null;
    return {
      got,
      status: statusesOf(got.heard.text)[0] ?? 0,
      reason,
      shown: JSON.stringify(got, null, 1).slice(0, 2_000),
    };
  };
  const accepted = (row: IpRow): string[] => [row.expectPrivate ? 'block' : 'allow', row.tolerate ?? ''];
  const blocked = (reason: string | null): string => (reason === 'address_not_allowed' ? 'block' : 'allow');

  it.each(real.map((row) => [row.id, row.ip, row.why, row] as const))(
    '%s: a name that leads to %s (%s)',
    (id, ip, _why, row) => {
      const { got, status, reason, shown } = found(report.answers, id);
      expect(accepted(row), shown).toContain(blocked(reason));
      expect([null, 'address_not_allowed'], shown).toContain(reason);
      expect(status, shown).toBe(reason === null ? 200 : 403);
      // The one that was judged is the one that was dialled.
      if (reason === null) expect(report.connections, shown).toContain(dialledAs(ip));
      else expect(got.heard.text, shown).not.toContain(canonical(ip));
      expect(got.recordProblem, shown).toBeNull();
    },
  );

  it.each(rows.map((row) => [row.id, row.ip, row] as const))(
    '%s: %j as a literal where * is allowed',
    (id, _ip, row) => {
      const { got, status, shown } = found(report.literals, id);
      expect(status, shown).toBeGreaterThanOrEqual(400);
      expect(got.recordProblem, shown).toBeNull();
      expect(got.records.length, `${shown} ${row.kind}`).toBe(2);
    },
  );

  it.each(real.map((row) => [row.id, row.ip, row] as const))(
    '%s: %s as a literal that is listed',
    (id, _ip, row) => {
      const { status, reason, shown } = found(report.listed, id);
      // A spelling that is not canonical may be refused as such.
      const refused =
        reason === 'address_not_allowed' || reason === 'bad_authority' || reason === 'host_not_allowed';
      const spelling = row.kind === 'text-variant' ? ['block'] : [];
      expect([...accepted(row), ...spelling], shown).toContain(refused ? 'block' : 'allow');
      expect(status === 200, shown).toBe(!refused);
    },
  );

  it('connects to no other address', () => {
    const allowed = real
      .filter(({ id }) => found(report.answers, id).reason === null)
      .map(({ ip }) => dialledAs(ip));
    expect(allowed).toEqual(expect.arrayContaining([...report.connections]));
    expect(report.connections).toHaveLength(allowed.length);
  });

  it('counts what it records', () => {
    expect(report.counters).toBeNull();
  });
});
