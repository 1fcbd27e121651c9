/** `audit search` and `audit export`. */
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { jsonLines } from '../helpers/json.ts';
import { decision, end, heldClock, linesOf, openTrail, record } from '../unit/audit/samples.ts';
import { type Installation, installation } from './main-harness.ts';

const HOUR = 3_600_000;

describe('the record on the command line', () => {
  let home: Installation;
  const dir = (): string => join(home.dir, '.sallyport', 'audit');

  beforeEach(async () => {
    home = installation();
    const clock = heldClock(Date.now() - 48 * HOUR);
    const trail = openTrail(dir(), { clock });
    await record(trail, decision({ requestId: 'old', host: 'api.openai.com' }));
    clock.time += 47 * HOUR;
    await record(
      trail,
      decision({ requestId: 'r1', host: 'a.example.com', verdict: 'deny', reason: 'host_not_allowed' }),
    );
    trail.end(end({ requestId: 'r1', host: 'a.example.com', reason: 'host_not_allowed', ended: 'refused' }));
    await record(
      trail,
      decision({ requestId: 'r2', host: 'b.example.com', group: 'others', path: '/x\u001b[2J' }),
    );
    await trail.close();
  });
  afterEach(() => home.remove());

  const found = async (...args: string[]): Promise<unknown[]> => {
    const { out } = await home.run(['audit', 'search', '--json', ...args]);
    return jsonLines(out).map(({ kind, request_id }) => `${String(kind)} ${String(request_id)}`);
  };

  it.each<[string[], string[]]>([
    [
      ['--group', 'ai-agents', '--kind', 'decision'],
      ['decision r1', 'decision old'],
    ],
    [
      ['--host', '*.example.com', '--limit', '2'],
      ['decision r2', 'end r1'],
    ],
    [['--verdict', 'deny', '--reason', 'host_not_allowed'], ['decision r1']],
    [
      ['--since', '24h', '--kind', 'decision'],
      ['decision r2', 'decision r1'],
    ],
    [['--until', '24h'], ['decision old']],
    [
      ['--request-id', 'r1'],
      ['end r1', 'decision r1'],
    ],
    [['--text', 'B.EXAMPLE'], ['decision r2']],
  ])('search %j finds newest first', async (args, wanted) => {
    expect(await found(...args)).toEqual(wanted);
  });

  it('search prints columns that no terminal acts on, and the page of each record', async () => {
    const { status, out } = await home.run([
      'audit',
      'search',
      '--group',
      'others',
      '--console',
      'http://127.0.0.1:9090/',
    ]);
    expect(status).toBe(0);
    expect(out).toContain('http://127.0.0.1:9090/#/audit?request_id=r2');
    expect(out).not.toContain('\u001b');
  });

  it('search says with status 1 that nothing was found, and with 2 what is wrong', async () => {
    expect(await home.run(['audit', 'search', '--group', 'nobody'])).toMatchObject({ status: 1, out: '' });
    for (const args of [
      ['--since', 'ever'],
      ['--limit', '0'],
    ])
      expect((await home.run(['audit', 'search', ...args])).status).toBe(2);
  });

  it('export prints the lines of the files as they are', async () => {
    const { out } = await home.run(['audit', 'export']);
    expect(out).toBe(`${linesOf(dir()).join('\n')}\n`);
    expect(jsonLines((await home.run(['audit', 'export', '--since', '24h'])).out)).toHaveLength(3);
  });
});
