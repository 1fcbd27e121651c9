/** The search: newest first, over all chains, page by page, whatever is written meanwhile. */
import { appendFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { workerChain } from '../../../src/audit/chains.ts';
import { checkpointKeyPath } from '../../../src/audit/checkpoint.ts';
import { listAuditFiles } from '../../../src/audit/files.ts';
import { type AuditPage, type AuditQuery, BadCursorError, searchAudit } from '../../../src/audit/search.ts';
import {
  decision,
  end,
  heldClock,
  linesOf,
  openTrail,
  operator,
  parsed,
  record,
  stateDir,
} from './samples.ts';

const START = Date.parse('2026-03-01T12:00:00.000Z');
const HOSTS = ['a.test', 'b.test', 'deep.b.test'];

/** `count` decisions in each of two chains, turn by turn, a second apart, over three days. */
async function folder(count = 30): Promise<string> {
  const root = join(stateDir(), 'audit');
  const clock = heldClock(START);
  const keyPath = checkpointKeyPath(root);
  mkdirSync(root, { recursive: true });
  const trails = [1, 2].map((worker) => openTrail(workerChain(root, worker), { clock, keyPath }));
  for (let n = 0; n < count; n += 1) {
    if (n > 0 && n % 10 === 0) clock.time += 86_400_000;
    for (const [index, trail] of trails.entries()) {
      clock.time += 1_000;
      const refused = n % 3 === 0;
      await record(
        trail,
        decision({
          flow: `${n}-${index}`,
          requestId: `R${n}-${index}`,
          host: HOSTS[n % 3] ?? '',
          group: index === 0 ? 'one' : 'two',
          verdict: refused ? 'deny' : 'allow',
          reason: refused ? 'host_not_allowed' : null,
          path: n === 7 ? '/grüße/"quoted"' : '/',
        }),
      );
    }
  }
  await Promise.all(trails.map((trail) => trail.close()));
  return root;
}

const flows = ({ records }: AuditPage): unknown[] => records.map((one) => one['flow']);

/** Every page of a search. */
async function all(root: string, query: AuditQuery, limit: number, maxBytes?: number): Promise<AuditPage[]> {
  const pages: AuditPage[] = [];
  for (let cursor: string | null = null; ; ) {
    const page: AuditPage = await searchAudit(root, query, {
      limit,
      cursor,
      ...(maxBytes === undefined ? {} : { maxBytes }),
    });
    pages.push(page);
    cursor = page.next;
    if (cursor === null) return pages;
  }
}

describe('a search', () => {
  it('gives what is newest first, of all chains by time', async () => {
    const root = await folder(3);
    const page = await searchAudit(root, {}, { limit: 100 });
    expect(flows(page)).toEqual(['2-1', '2-0', '1-1', '1-0', '0-1', '0-0']);
    expect(page.next).toBeNull();
  });

  it.each([1, 7, 59, 60, 1000])(
    'in pages of %i gives each record once, in order, over files and days',
    async (limit) => {
      const root = await folder();
      const pages = await all(root, {}, limit);
      const seen = pages.flatMap(flows);
      expect(seen).toHaveLength(60);
      expect(new Set(seen).size).toBe(60);
      const times = pages.flatMap(({ records }) => records.map((one) => String(one['at'])));
      expect(times).toEqual(times.toSorted((a, b) => (a < b ? 1 : -1)));
      expect(listAuditFiles(workerChain(root, 1)).length).toBeGreaterThan(2);
    },
  );

  it('reads no more than it may, and goes on from there', async () => {
    const root = await folder();
    const pages = await all(root, { request_id: 'R0-0' }, 10, 4_096);
    expect(pages.length).toBeGreaterThan(1);
    expect(pages.flatMap(flows)).toEqual(['0-0']);
  });

  it.each<[string, AuditQuery, number]>([
    ['a group', { group: 'one' }, 30],
    ['a host', { host: 'b.test' }, 20],
    ['a host in capitals', { host: 'B.TEST' }, 20],
    ['what is below a name', { host: '*.b.test' }, 20],
    ['a host with its port, as rules write it', { host: 'b.test:443' }, 20],
    ['a host with another port', { host: 'b.test:8443' }, 0],
    ['what is below a name, with a port', { host: '*.b.test:443' }, 20],
    ['any host, as a rule for all has it', { host: '*' }, 60],
    ['a reason', { reason: 'host_not_allowed' }, 20],
    ['a verdict', { verdict: 'allow' }, 40],
    ['a kind', { kind: 'decision' }, 60],
    ['another kind', { kind: 'operator' }, 0],
    ['a request', { request_id: 'R7-1' }, 1],
    ['several at once', { group: 'two', reason: 'host_not_allowed', host: 'a.test' }, 10],
    ['a text, whatever its case', { text: '"QUOTED"' }, 2],
    ['a text beyond ASCII', { text: 'grüße' }, 2],
    ['a text that is not there', { text: 'nowhere' }, 0],
    ['the time from', { since: START + 86_400_000 }, 40],
    ['the time to', { until: START + 86_400_000 }, 20],
    ['a stretch of time', { since: START + 86_400_000, until: START + 2 * 86_400_000 }, 20],
    ['a value that only looks like one of another field', { group: 'host_not_allowed' }, 0],
  ])('by %s', async (_title, query, count) => {
    const root = await folder();
    expect((await all(root, query, 9)).flatMap(flows)).toHaveLength(count);
  });

  it('by time goes on behind records that were written while the clock was wrong', async () => {
    const root = join(stateDir(), 'audit');
    const clock = heldClock(START);
    const trail = openTrail(root, { clock });
    await record(trail, decision({ flow: 'before' }));
    clock.time = START - 40 * 86_400_000;
    await record(trail, decision({ flow: 'wrong' }));
    clock.time = START + 1_000;
    await record(trail, decision({ flow: 'after' }));
    await trail.close();
    expect((await all(root, { since: START }, 1)).flatMap(flows)).toEqual(['after', 'before']);
  });

  it('finds clients that no policy knows, and addresses as rules write them', async () => {
    const root = join(stateDir(), 'audit');
    const trail = openTrail(root);
    await record(trail, decision({ flow: 'strange', group: null, identity: null, host: '2001:db8::1' }));
    await record(trail, decision({ flow: 'known' }));
    trail.operator(operator({ group: null }));
    await trail.close();
    expect(flows(await searchAudit(root, { group: 'nobody' }, { limit: 10 }))).toEqual(['strange']);
    for (const host of ['2001:db8::1', '[2001:DB8::1]:443', '[2001:db8::1]'])
      expect(flows(await searchAudit(root, { host }, { limit: 10 })), host).toEqual(['strange']);
  });

  it('is not shifted by what is written between two pages', async () => {
    const root = join(stateDir(), 'audit');
    const trail = openTrail(root);
    for (let n = 0; n < 5; n += 1) await record(trail, decision({ flow: `old-${n}` }));
    const first = await searchAudit(root, {}, { limit: 2 });
    for (let n = 0; n < 5; n += 1) await record(trail, decision({ flow: `new-${n}` }));
    const second = await searchAudit(root, {}, { limit: 10, cursor: first.next });
    expect([...flows(first), ...flows(second)]).toEqual(['old-4', 'old-3', 'old-2', 'old-1', 'old-0']);
  });

  it('leaves out what a writer has not finished, and what is no record', async () => {
    const root = join(stateDir(), 'audit');
    const trail = openTrail(root);
    await record(trail, decision({ flow: 'whole' }));
    const [file] = listAuditFiles(root);
    appendFileSync(file?.path ?? '', 'garbage\n{"kind":"decision","seq":3,"at":"2026-03-01T12:0');
    expect(flows(await searchAudit(root, {}, { limit: 10 }))).toEqual(['whole']);
  });

  it('finds ends and what operators did', async () => {
    const root = join(stateDir(), 'audit');
    const trail = openTrail(root);
    trail.end(end({ flow: 'f' }));
    trail.operator(operator({ operator: 'ann' }));
    await record(trail);
    expect((await searchAudit(root, { operator: 'ann' }, { limit: 10 })).records).toMatchObject([
      { kind: 'operator', action: 'lockdown.on', why: 'incident 42' },
    ]);
    expect((await searchAudit(root, { kind: 'end' }, { limit: 10 })).records).toHaveLength(1);
  });

  it('goes on behind a file that retention deleted', async () => {
    const root = await folder();
    const first = await searchAudit(root, { group: 'one' }, { limit: 12 });
    for (const file of listAuditFiles(workerChain(root, 1)).slice(0, 2)) rmSync(file.path);
    const second = await searchAudit(root, { group: 'one' }, { limit: 100, cursor: first.next });
    expect(flows(second)).toEqual([]);
    expect(second.next).toBeNull();
  });

  it('reads lines longer than a block whole', async () => {
    const root = join(stateDir(), 'audit');
    const trail = openTrail(root);
    const keys = Array.from({ length: 200 }, (_, n) => `${'K'.repeat(1_000)}${n}`);
    for (let n = 0; n < 4; n += 1) await record(trail, decision({ flow: `f${n}`, keys }));
    expect(linesOf(root)[0]?.length).toBeGreaterThan(100_000);
    const pages = await all(root, {}, 1);
    expect(pages.flatMap(flows)).toEqual(['f3', 'f2', 'f1', 'f0']);
    expect(pages[0]?.records[0]).toEqual(parsed(linesOf(root)[3]));
  });
});

describe('a cursor', () => {
  it.each([
    ['nothing', ''],
    ['no JSON', 'e30x'],
    ['an object', Buffer.from('{}').toString('base64url')],
    ['an entry too short', Buffer.from('[["."]]').toString('base64url')],
    ['a place before the begin', Buffer.from('[[".","x",-1]]').toString('base64url')],
    ['too much', 'A'.repeat(70_000)],
  ])('of %s is refused', async (_title, cursor) => {
    const root = await folder(1);
    await expect(searchAudit(root, {}, { limit: 1, cursor })).rejects.toThrow(BadCursorError);
  });

  it('opens no file that is not one of the chain', async () => {
    const root = await folder(1);
    writeFileSync(
      join(root, '..', 'secret'),
      '{"kind":"decision","seq":1,"at":"2026-03-01T12:00:00.000Z"}\n',
    );
    for (const [chain, name] of [
      ['worker-1', '../../secret'],
      ['..', 'secret'],
      ['../..', 'secret'],
    ]) {
      const cursor = Buffer.from(JSON.stringify([[chain, name, 1_000]])).toString('base64url');
      expect((await searchAudit(root, {}, { limit: 10, cursor })).records).toEqual([]);
    }
    expect(readFileSync(join(root, '..', 'secret'), 'utf8')).toContain('decision');
  });
});
