/** The network of deploy/compose, rebuilt with namespaces: verify.sh passes in the sandbox, and fails at every hole. */
import { beforeAll, describe, expect, it } from 'vitest';
import { describeInNamespace, driveInNamespace } from '../helpers/netns.ts';
import { hasProgram } from '../helpers/programs.ts';
import type { TopologyReport, Verified } from './drive/topology.ts';

const DRIVER = new URL('./drive/topology.ts', import.meta.url);
const LIMIT_MS = 400_000;
const needed = ['nft', 'nsenter', 'setpriv', 'curl', 'busybox', 'python3'].filter(
  (name) => !hasProgram(name),
);
const title = 'the network of the compose file';

function suite(): void {
  const nothing = { status: null, stdout: '', stderr: 'did not run' };
  let report: TopologyReport = { seen: {}, busybox: nothing, unaware: '' };
  const of = (name: string): Verified => report.seen[name] ?? { ...nothing, findings: [] };
  const failed = (name: string): string[] =>
    of(name)
      .findings.filter(({ status }) => status === 'fail')
      .map(({ check }) => check);

  beforeAll(async () => {
    report = await driveInNamespace<TopologyReport>(DRIVER, { limitMs: LIMIT_MS });
  }, LIMIT_MS);

  it('lets a sandbox reach what the policy allows, by the proxy, and nothing else', () => {
    expect(of('shut').status, of('shut').stdout + of('shut').stderr).toBe(0);
    const checks = of('shut').findings.map(({ check, status }) => `${check} ${status}`);
    expect(checks).toHaveLength(14);
    expect(checks.filter((one) => !one.endsWith(' ok'))).toEqual([]);
    expect(checks).toContain('allowed URL ok');
  });

  it('is judged the same by busybox alone, and shown line by line, with a last word on it all', () => {
    const { status, stdout, stderr } = report.busybox;
    expect(status, stdout + stderr).toBe(0);
    expect(stdout).toMatch(/^ok +host gateway +the usual ports of each of \d addresses: nothing answers$/m);
    expect(stdout).toMatch(/14 checks: this sandbox is shut, and the proxy works\n$/);
    expect(stderr).toBe('');
  });

  // What must be found at a hole, or at two that are checks of their own.
  const holes: readonly (readonly [string, string, readonly string[]])[] = [
    ['a route that is forwarded', 'route', ['direct TCP', '--noproxy', 'UDP port 53', 'DNS over TCP']],
    ['a way for UDP 53 alone', 'udp 53', ['UDP port 53']],
    ['a way for TCP 53 alone', 'tcp 53', ['DNS over TCP']],
    ['a resolver that knows public names, and a route for IPv6', 'resolver and ipv6', ['resolver', 'IPv6']],
    [
      'a host that has an address on the bridge, and a metadata service',
      'gateway and metadata',
      ['host gateway', 'metadata'],
    ],
    [
      'an admin side on every address, and a group in monitor mode',
      'admin and monitor',
      ['admin side', 'proxy', 'unknown host'],
    ],
    ['a proxy that is not there', 'no proxy', ['probe', 'proxy', 'allowed URL']],
  ];
  for (const [what, name, wanted] of holes) {
    it(`fails at ${what}`, () => {
      expect(of(name).status, of(name).stderr).toBe(1);
      expect(failed(name)).toEqual(expect.arrayContaining([...wanted]));
    });
  }

  it('has no check that passes whatever is open', () => {
    const ever = new Set(holes.flatMap(([, name]) => failed(name)));
    const all = of('shut').findings.map(({ check }) => check);
    expect(all.filter((check) => !ever.has(check))).toEqual([]);
  });

  it('is told apart: a hole for name servers is not one for all', () => {
    expect(failed('udp 53')).toEqual(['UDP port 53']);
    expect(failed('tcp 53')).toEqual(['DNS over TCP']);
    expect(failed('resolver and ipv6')).not.toContain('direct TCP');
  });

  it('stays shut with compose.transparent.yaml, which lets in clients that know of no proxy', () => {
    expect(of('transparent').status, of('transparent').stdout).toBe(0);
    expect(report.unaware).toBe('GET /unaware -\n');
  });
}

if (needed.length === 0) describeInNamespace(title, suite);
else describe.skip(`${title} (not installed: ${needed.join(', ')})`, suite);
