/** Every row of hosts.json as a CONNECT to a live proxy, with real DNS; rebinding; the proxy's own addresses. */
import { beforeAll, expect, it } from 'vitest';
import { loadCases, statusesOf } from '../helpers/case-client.ts';
import { describeInNamespace, driveInNamespace } from '../helpers/netns.ts';
import type { HostReport, HostRow } from './drive/hosts.ts';

const DRIVER = new URL('./drive/hosts.ts', import.meta.url);
const LIMIT_MS = 90_000;
/** Reasons that are known only after the name was resolved. */
const AFTER_DNS = ['address_not_allowed', 'dns_failed', 'dns_timeout'];
const EMPTY: HostReport = {
  rows: [],
  socks: [],
  connections: [],
  queried: [],
  checks: [],
  counters: 'not run',
  rebinding: { first: '', later: '', loopback: -1 },
  own: [],
};

describeInNamespace('hosts.json through a live proxy', () => {
  const rows = loadCases<HostRow>('hosts');
  let report = EMPTY;

  beforeAll(async () => {
    report = await driveInNamespace<HostReport>(DRIVER, { limitMs: LIMIT_MS });
  }, LIMIT_MS);

  const table = rows.map((row) => [row.id, row.authority, row.expect, row.why, row] as const);
  it.each(table)('%s %j: %s (%s)', (id, _authority, _expect, _why, row) => {
    const got = report.rows.find((each) => each.id === id);
    if (got === undefined) throw new Error('the driver did not run this row');
    const shown = JSON.stringify(got, null, 1).slice(0, 2_000);
    const [status = 0] = statusesOf(got.heard.text);
    expect([row.expect, row.tolerate ?? row.expect], shown).toContain(status === 200 ? 'allow' : 'deny');
    if (status !== 200) expect(status, shown).toBeGreaterThanOrEqual(400);
    expect(got.heard.closed, shown).toBe(true);
    expect(got.recordProblem, shown).toBeNull();
    expect(got.records.length, shown).toBeGreaterThan(0);
  });

  it('says through SOCKS5 what it says to CONNECT', () => {
    expect(report.socks.length).toBeGreaterThan(100);
    const differing = report.socks.filter(({ id, heard, records, recordProblem }) => {
      const connect = report.rows.find((row) => row.id === id);
      const opened = heard.text.startsWith('\x05\x00\x05\x00');
      const refused = /^\x05\x00\x05[\x01-\x08]/.test(heard.text);
      const same = opened === connect?.heard.text.startsWith('HTTP/1.1 200') && opened !== refused;
      return !same || recordProblem !== null || records.length !== 2;
    });
    expect(differing).toEqual([]);
  });

  it('connects once for each CONNECT that it answers with 200, and for no other', () => {
    const opened = report.rows.filter(({ heard }) => heard.text.startsWith('HTTP/1.1 200'));
    expect(opened.length).toBeGreaterThan(0);
    expect(report.connections).toHaveLength(opened.length);
  });

  it('asks the name server for no name that it refuses', () => {
    const decisions = report.rows.flatMap(({ records }) => records.filter(({ kind }) => kind === 'decision'));
    const passed = decisions.filter(
      ({ verdict, reason }) => verdict === 'allow' || AFTER_DNS.includes(reason ?? ''),
    );
    expect(report.queried.length).toBeGreaterThan(10);
    expect(passed.map(({ host }) => host)).toEqual(expect.arrayContaining([...report.queried]));
  });

  it('says of a policy that does not load where it is wrong and how to mend it', () => {
    expect(report.checks.length).toBeGreaterThan(0);
    for (const { status, output } of report.checks) {
      expect(status).toBe(1);
      expect(output).toMatch(/rows\.yaml:1:\d+/);
    }
    expect(report.checks.map(({ output }) => output).join('\n')).toContain('xn--fa-hia.example');
  });

  it('judges each answer of a name anew: rebinding to loopback is refused and connects to nothing', () => {
    const { first, later, loopback } = report.rebinding;
    expect(first).toMatch(/^HTTP\/1\.1 200 /);
    expect(later).toMatch(/^HTTP\/1\.1 403 address_not_allowed /);
    expect(loopback).toBe(0);
  });

  it("refuses names that lead to the proxy's own addresses: of an interface, and of its listener on lo", () => {
    expect(report.own.map(({ name, reason }) => [name, reason])).toEqual([
      ['v4.own.test', 'address_not_allowed'],
      ['v6.own.test', 'address_not_allowed'],
      ['listener.own.test', 'address_not_allowed'],
      ['other.test', null],
    ]);
    for (const { text } of report.own) expect(text).not.toMatch(/51\.15|2a0a/);
  });

  it('counts what it records', () => {
    expect(report.counters).toBeNull();
  });
});
