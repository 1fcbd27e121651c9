/** deploy/nftables on a host that forwards whatever it is given: what it opens without them, and what is left with them. */
import { beforeAll, describe, expect, it } from 'vitest';
import { describeInNamespace, driveInNamespace } from '../helpers/netns.ts';
import { hasProgram } from '../helpers/programs.ts';
import type { Ran } from '../helpers/run-program.ts';
import type { NftablesReport } from './drive/nftables.ts';

const DRIVER = new URL('./drive/nftables.ts', import.meta.url);
const LIMIT_MS = 240_000;
const needed = ['nft', 'nsenter', 'setpriv', 'curl', 'python3'].filter((name) => !hasProgram(name));
const title = 'the firewall of a plain host';

function suite(): void {
  const nothing: Ran = { status: null, stdout: '', stderr: 'did not run' };
  let report: NftablesReport = {
    open: nothing,
    shut: nothing,
    redirected: nothing,
    clients: {},
    dropped: '',
  };
  const of = (name: string): Ran => report.clients[name] ?? nothing;

  beforeAll(async () => {
    report = await driveInNamespace<NftablesReport>(DRIVER, { limitMs: LIMIT_MS });
  }, LIMIT_MS);

  it('is needed: without it a sandbox gets everywhere', () => {
    expect(report.open.status).toBe(1);
    for (const check of [
      'direct TCP',
      'UDP port 53',
      'DNS over TCP',
      'resolver',
      '--noproxy',
      'host gateway',
    ])
      expect(report.open.stdout).toMatch(new RegExp(`^FAIL +${check} `, 'm'));
  });

  it('leaves the proxy as the only way, and counts what it drops', () => {
    expect(report.shut.status, report.shut.stdout + report.shut.stderr).toBe(0);
    expect(report.shut.stdout).toMatch(/^ok +allowed URL +https:\/\/api\.test\/x came through the proxy$/m);
    expect(report.dropped).toMatch(/counter packets [1-9]\d* .*comment "from a sandbox, not for the proxy"/);
    expect(report.dropped).toMatch(/counter packets [1-9]\d* .*comment "a sandbox past the proxy"/);
  });

  it('keeps sandboxes from one another', () => {
    expect(of('other sandbox')).toMatchObject({ status: 28, stdout: '' });
  });

  it('leads programs that know of no proxy to it, and opens nothing else by that', () => {
    expect(report.redirected.status, report.redirected.stdout).toBe(0);
    expect(of('no proxy known')).toEqual({ status: 0, stdout: 'GET /unaware -\n', stderr: '' });
    expect(of('name refused').stderr).toContain('Could not resolve host');
    for (const name of ['port that is for redirected packets', 'port named, redirect loaded'])
      expect(of(name), name).toMatchObject({ status: 28, stdout: '' });
  });

  it("gives processes of the agents' user the proxy on loopback and nothing else, and nobody else less", () => {
    expect(of('user by the proxy')).toEqual({ status: 0, stdout: 'GET /user -\n', stderr: '' });
    expect(of('user past the proxy')).toMatchObject({ status: 7, stdout: '' });
    expect(of('user to another port of loopback')).toMatchObject({ status: 7, stdout: '' });
    expect(of('somebody else')).toEqual({ status: 0, stdout: 'GET /else -\n', stderr: '' });
  });
}

if (needed.length === 0) describeInNamespace(title, suite);
else describe.skip(`${title} (not installed: ${needed.join(', ')})`, suite);
