/** Clients that know of no proxy, behind a redirect by nftables: the same policy, interception and record. */
import { beforeAll, describe, expect, it } from 'vitest';
import { describeInNamespace, driveInNamespace } from '../helpers/netns.ts';
import { hasProgram } from '../helpers/programs.ts';
import type { Seen, TransparentReport } from './drive/transparent.ts';

const DRIVER = new URL('./drive/transparent.ts', import.meta.url);
const LIMIT_MS = 90_000;
const needed = ['nft', 'nsenter', 'curl', 'python3'].filter((name) => !hasProgram(name));
const title = 'clients without a proxy, redirected by nftables';

function suite(): void {
  let report: TransparentReport = { seen: {}, upstream: [], records: [], metrics: '' };
  const of = (name: string): Seen => report.seen[name] ?? { status: null, out: '', err: 'did not run' };
  const decided = (wanted: Record<string, unknown>) =>
    report.records.filter((record) =>
      Object.entries({ kind: 'decision', ...wanted }).every(([field, value]) => record[field] === value),
    );

  beforeAll(async () => {
    report = await driveInNamespace<TransparentReport>(DRIVER, { limitMs: LIMIT_MS });
  }, LIMIT_MS);

  it('an allowed host is reached by its name alone, and its TLS is ended with our leaf', () => {
    expect(of('allowed')).toEqual({ status: 0, out: 'GET /a 0', err: '' });
    expect(
      decided({ via: 'transparent-tls', host: 'api.test', verdict: 'allow', stage: 'connect' }),
    ).not.toEqual([]);
  });

  it('a placeholder arrives as the real key', () => {
    expect(of('swapped').out).toBe('GET /b 0');
    expect(report.upstream).toContain('GET api.test/b Bearer sk-proj-0123456789abcdefghijklmnopqrstuvwxyz');
  });

  it('an address that the client knew by itself changes nothing: the name in TLS decides', () => {
    expect(of('by address')).toEqual({ status: 0, out: 'GET /c 0', err: '' });
  });

  it('a name that no rule could allow does not exist, and the try is recorded', () => {
    expect(of('unknown name').status).toBe(6);
    expect(of('unknown name').err).toContain('Could not resolve host');
    const [record] = decided({ via: 'transparent-dns', host: 'evil.test' });
    expect(record).toMatchObject({ verdict: 'deny', reason: 'host_not_allowed', group: 'agents' });
    expect(report.metrics).toContain('sallyport_dns_answers_total{outcome="nxdomain"}');
  });

  it('a refused host gets a TLS alert that says access denied', () => {
    expect(of('refused by SNI').status).toBe(35);
    expect(of('refused by SNI').err).toMatch(/access denied/i);
    const refused = {
      via: 'transparent-tls',
      host: 'evil.test',
      verdict: 'deny',
      reason: 'host_not_allowed',
    };
    expect(decided(refused)).toHaveLength(1);
  });

  it('TLS that names no host is refused', () => {
    expect(of('no SNI').status).toBe(35);
    expect(decided({ reason: 'sni_mismatch', host: null })).toHaveLength(1);
  });

  it('plain HTTP goes where its Host says, or is refused in words', () => {
    expect(of('clear')).toEqual({ status: 0, out: 'GET /d 0', err: '' });
    expect(decided({ via: 'transparent-http', host: 'clear.test', verdict: 'allow' })).toHaveLength(1);
    expect(of('clear refused').out).toContain('"reason":"host_not_allowed"');
    expect(of('clear under another name').out).toContain('"host":"evil.test:80"');
    expect(report.upstream.filter((line) => line.includes('evil'))).toEqual([]);
  });

  it('what is not redirected gets nowhere', () => {
    expect(of('other port').status).not.toBe(0);
  });

  it('the name server answers over TCP as well, and repeats a name as it was spelt', () => {
    expect(of('tcp dns')).toEqual({ status: 0, out: 'True 172.25.0.1 0 3\n', err: '' });
  });

  it('an IPv6 question about an allowed name is answered with nothing, so that clients turn to IPv4', () => {
    expect(of('ipv6 question').out).toContain('::ffff:172.25.0.1');
    expect(report.metrics).toContain('sallyport_dns_answers_total{outcome="nodata"}');
  });

  it('every decision has its one end', () => {
    const ids = (kind: string): string[] =>
      report.records
        .filter((record) => record['kind'] === kind)
        .map((record) => String(record['request_id']))
        .sort((a, b) => a.localeCompare(b));
    expect(ids('end')).toEqual(ids('decision'));
  });
}

if (needed.length === 0) describeInNamespace(title, suite);
else describe.skip(`${title} (not installed: ${needed.join(', ')})`, suite);
