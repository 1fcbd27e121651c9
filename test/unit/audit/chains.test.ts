/** Several chains below one folder: each is verified by itself, and read as one. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  chainFolders,
  chainsSince,
  lastOfChains,
  listChains,
  tendOtherChains,
  verifyChains,
  workerChain,
} from '../../../src/audit/chains.ts';
import { checkpointKeyPath } from '../../../src/audit/checkpoint.ts';
import { listAuditFiles } from '../../../src/audit/files.ts';
import { decision, heldClock, linesOf, openTrail, parsed, record, stateDir } from './samples.ts';

const START = Date.parse('2026-03-01T12:00:00.000Z');

/** Two workers' chains whose records alternate in time: 1, 2, 1, 2 … */
async function twoChains(count: number): Promise<string> {
  const root = join(stateDir(), 'audit');
  const clock = heldClock(START);
  const keyPath = checkpointKeyPath(root);
  listChains(
    root,
    [1, 2].map((worker) => workerChain(root, worker)),
  );
  const trails = [1, 2].map((worker) => openTrail(workerChain(root, worker), { clock, keyPath }));
  for (let n = 0; n < count; n += 1) {
    for (const [index, trail] of trails.entries()) {
      clock.time += 10;
      await record(trail, decision({ flow: `${n}-${index + 1}` }));
    }
  }
  await Promise.all(trails.map((trail) => trail.close()));
  return root;
}

const flows = (lines: readonly string[]): unknown[] => lines.map((line) => parsed(line)['flow']);

describe('the chains of workers', () => {
  it('are whole each by itself, signed by the one key beside the folder', async () => {
    const root = await twoChains(3);
    expect(verifyChains(root, null)).toMatchObject([
      { dir: join(root, 'worker-1'), records: 3, finding: null },
      { dir: join(root, 'worker-2'), records: 3, finding: null },
    ]);
  });

  it('tell which of them was touched', async () => {
    const root = await twoChains(3);
    const [file] = listAuditFiles(workerChain(root, 2));
    const path = file?.path ?? '';
    writeFileSync(path, readFileSync(path, 'utf8').replace('api.openai.com', 'api.example.com'));
    expect(verifyChains(root, null).map(({ finding }) => finding?.what ?? null)).toEqual([null, 'edited']);
  });

  it('are missed when their folder, or all that is in it, is gone', async () => {
    const root = await twoChains(3);
    rmSync(workerChain(root, 2), { recursive: true });
    const [, gone] = verifyChains(root, null);
    expect(gone?.finding).toMatchObject({ what: 'deleted', text: 'the chain worker-2 is missing' });
    mkdirSync(workerChain(root, 2));
    expect(verifyChains(root, null)[1]?.finding).toMatchObject({ what: 'checkpoint' });
  });

  it('are told by the start where they are gone', async () => {
    const root = await twoChains(1);
    rmSync(workerChain(root, 1), { recursive: true });
    expect(listChains(root, [workerChain(root, 2)])).toEqual([workerChain(root, 1)]);
    expect(listChains(root, [root])).toEqual([]);
    expect(verifyChains(root, null).map(({ dir }) => dir)).toEqual([
      root,
      workerChain(root, 1),
      workerChain(root, 2),
    ]);
  });

  it.each([
    ['missing', (file: string) => rmSync(file)],
    [
      'shortened',
      (file: string) => writeFileSync(file, readFileSync(file, 'utf8').replace(',"worker-2"', '')),
    ],
  ])('are vouched for by a list: %s, it is told', async (_how, touch) => {
    const root = await twoChains(1);
    touch(join(root, 'chains.json'));
    expect(verifyChains(root, null).at(-1)?.finding).toMatchObject({
      file: 'chains.json',
      what: 'checkpoint',
    });
  });

  it('have no list where one process alone has ever run', () => {
    const root = join(stateDir(), 'audit');
    expect(listChains(root, [root])).toEqual([]);
    expect(existsSync(join(root, 'chains.json'))).toBe(false);
  });

  it('are read together in the order of time, and followed', async () => {
    const root = await twoChains(3);
    const { lines, at } = lastOfChains(root, 3);
    expect(flows(lines)).toEqual(['1-2', '2-1', '2-2']);
    expect(chainsSince(root, at).lines).toEqual([]);
    const later = openTrail(workerChain(root, 3), {
      clock: heldClock(START),
      keyPath: checkpointKeyPath(root),
    });
    await record(later, decision({ flow: 'new' }));
    const more = chainsSince(root, at);
    expect(flows(more.lines)).toEqual(['new']);
    expect(chainsSince(root, more.at).lines).toEqual([]);
  });

  it('stand beside that of a single process', async () => {
    const root = await twoChains(1);
    const single = openTrail(root, { clock: heldClock(START) });
    await record(single, decision({ flow: 'single' }));
    await single.close();
    mkdirSync(join(root, 'worker-x'));
    expect(chainFolders(root)).toEqual([root, join(root, 'worker-1'), join(root, 'worker-2')]);
    expect(flows(lastOfChains(root, 10).lines)).toEqual(['single', '0-1', '0-2']);
  });

  it('that nobody writes to any more are looked after: their open decisions end, their old files go', async () => {
    const root = await twoChains(1);
    const [one, two] = [workerChain(root, 1), workerChain(root, 2)];
    const dead = { pid: process.pid, started: '1', space: spaceOf(root) };
    for (const dir of [one, two]) writeFileSync(join(dir, 'writer.lock'), JSON.stringify(dead));
    await tendOtherChains(root, new Set([one]), { sync: 'batch', clock: heldClock(START) });
    expect(linesOf(two).map((line) => parsed(line)['kind'])).toEqual(['decision', 'end']);
    expect(linesOf(one).map((line) => parsed(line)['kind'])).toEqual(['decision']);
  });
});

/** What a lock of this process calls its boot and name space. */
function spaceOf(root: string): unknown {
  const dir = join(root, '..', 'other');
  openTrail(dir);
  return parsed(readFileSync(join(dir, 'writer.lock'), 'utf8'))['space'];
}
