/** `audit report`: what the review says of a record, in its three forms. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DecisionEvent, EndEvent } from '../../src/audit/event.ts';
import { listAuditFiles } from '../../src/audit/files.ts';
import { decision, end, heldClock, openTrail, record } from '../unit/audit/samples.ts';
import { type Installation, installation } from './main-harness.ts';

const DAY = 86_400_000;
const HOSTILE = `evil<script>alert(1)</script>\u001b[2J\u202e"&'.example`;

describe('audit report', () => {
  let home: Installation;
  let id = 0;

  beforeEach(() => {
    home = installation();
  });
  afterEach(() => home.remove());

  /** Requests of so many days ago, each with its end. */
  const write = async (
    daysAgo: number,
    calls: readonly { readonly of?: Partial<DecisionEvent>; readonly end?: Partial<EndEvent> }[],
  ): Promise<void> => {
    const trail = openTrail(join(home.dir, '.sallyport', 'audit'), {
      clock: heldClock(Date.now() - daysAgo * DAY - 60_000),
    });
    for (const call of calls) {
      id += 1;
      const requestId = `r${id}`;
      const { verdict = 'allow', reason = null, host = 'api.openai.com', keys = [] } = call.of ?? {};
      await record(trail, decision({ requestId, keys, ...call.of }));
      trail.end(end({ requestId, verdict, reason, host, keys, ...call.end }));
    }
    await trail.close();
  };
  const times = <T>(count: number, of: T): readonly T[] => Array.from({ length: count }, () => of);
  const report = async (...args: string[]): Promise<unknown> => {
    const { status, out, err } = await home.run(['audit', 'report', '--json', ...args]);
    expect(err).toBe('');
    expect(status).toBe(0);
    const review: unknown = JSON.parse(out);
    return review;
  };

  it('tells what was reached, what is new, what was refused, keys, and rates that are odd', async () => {
    await write(10, times(4, {}));
    await write(1, [
      ...times(20, {}),
      { of: { host: 'new.example.com', keys: ['OPENAI_API_KEY'] } },
      ...times(3, {
        of: { host: 'evil.example', verdict: 'deny' as const, reason: 'host_not_allowed' as const },
      }),
      { of: { verdict: 'deny' as const, reason: 'placeholder_wrong_host' as const } },
    ]);
    const review = await report();
    expect(review).toMatchObject({
      chain: null,
      records: 50,
      groups: [
        {
          group: 'ai-agents',
          allowed: 21,
          refused: 4,
          newHosts: ['new.example.com'],
          odd: [{ host: 'api.openai.com', calls: 20, usual: 4 }],
          keys: [{ key: 'OPENAI_API_KEY', calls: 1, hosts: ['new.example.com'] }],
          misuse: [{ reason: 'placeholder_wrong_host', calls: 1 }],
          refusals: [{ host: 'evil.example', reason: 'host_not_allowed', calls: 3 }, { calls: 1 }],
        },
      ],
      policies: [{ hash: 'abcdef012345' }],
    });
    expect(review).toMatchObject({
      groups: [{ hosts: [{ host: 'api.openai.com', calls: 20, before: [4, 0, 0] }, {}] }],
    });
  });

  it('counts a refusal once, also one that came after the call was let in', async () => {
    await write(1, [
      { of: { verdict: 'deny', reason: 'host_not_allowed' } },
      { of: { verdict: 'allow' }, end: { verdict: 'deny', reason: 'sni_mismatch', ended: 'refused' } },
    ]);
    expect(await report()).toMatchObject({
      groups: [{ allowed: 1, refused: 2, refusals: [{ calls: 1 }, { reason: 'sni_mismatch', calls: 1 }] }],
    });
  });

  it('calls nothing new or odd where there is nothing to compare with', async () => {
    await write(1, times(50, {}));
    expect(await report()).toMatchObject({ firstRecord: null, groups: [{ newHosts: [], odd: [] }] });
  });

  it('does not count a CONNECT whose requests are counted', async () => {
    await write(1, [{ of: { stage: 'connect', treat: 'intercept' } }, { of: { stage: 'request' } }]);
    expect(await report()).toMatchObject({ groups: [{ allowed: 1 }] });
  });

  it('does not take what a sandbox asks the proxy itself for calls to a host', async () => {
    await write(1, [{}, ...times(3, { of: { host: null, port: null } })]);
    expect(await report()).toMatchObject({
      groups: [{ allowed: 1, hosts: [{ host: 'api.openai.com', calls: 1 }] }],
    });
  });

  it('holds to the group and the period that are asked for', async () => {
    await write(3, [{ of: { group: 'others' } }]);
    await write(1, [{}]);
    expect(await report('--group', 'others')).toMatchObject({ groups: [{ group: 'others' }] });
    expect(await report('--since', '2d')).toMatchObject({ groups: [{ group: 'ai-agents' }] });
  });

  it('shows hostile words of a sandbox harmlessly, as text and as HTML', async () => {
    await write(1, [{ of: { host: HOSTILE, verdict: 'deny', reason: 'bad_authority' } }]);
    const text = await home.run(['audit', 'report']);
    expect(text.out).toMatch(/^[\n\u0020-\u007e…]*$/);
    const { status } = await home.run(['audit', 'report', '--html', 'review.html']);
    expect(status).toBe(0);
    const page = readFileSync(join(home.dir, 'review.html'), 'utf8');
    expect(page).toContain('evil&#60;script&#62;');
    expect(page).not.toMatch(/<script|\u001b|\u202e/);
    expect(page).toContain("default-src 'none'");
  });

  it('says so, with status 1, when the record was edited, and prints the review all the same', async () => {
    await write(1, times(3, {}));
    const [file] = listAuditFiles(join(home.dir, '.sallyport', 'audit'));
    const path = file?.path ?? '';
    writeFileSync(path, readFileSync(path, 'utf8').replace('api.openai.com', 'api.0penai.com'));
    const { status, out, err } = await home.run(['audit', 'report']);
    expect(status).toBe(1);
    expect(out).toContain('THE RECORD IS NOT WHOLE');
    expect(err).toContain('edited');
  });

  it.each([[['--since', '5s']], [['--since', 'long']]])('refuses %j', async (args) => {
    expect((await home.run(['audit', 'report', ...args])).status).toBe(2);
  });
});
