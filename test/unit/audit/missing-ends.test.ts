/** After a crash: the next writer of the chain ends what the last one left open, once and truthfully. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { verifyFolder } from '../../../src/audit/read.ts';
import { decision, end, linesOf, openTrail, operator, parsed, record, stateDir } from './samples.ts';

/** Makes a closed folder look as a crash leaves it: with a lock whose holder is gone. */
function crash(dir: string, lock: string): void {
  // No process has ever begun at tick 1.
  writeFileSync(join(dir, 'writer.lock'), JSON.stringify({ ...parsed(lock), started: '1' }));
}

/** A folder with the records that `write` makes, after a crash. */
async function crashed(
  write: (trail: ReturnType<typeof openTrail>) => Promise<void>,
  over: Parameters<typeof openTrail>[1] = {},
): Promise<string> {
  const dir = join(stateDir(), 'audit');
  const trail = openTrail(dir, over);
  const lock = readFileSync(join(dir, 'writer.lock'), 'utf8');
  await write(trail);
  await trail.close();
  crash(dir, lock);
  return dir;
}

async function reopened(dir: string): Promise<void> {
  await openTrail(dir).close();
}

function endsOf(dir: string): Record<string, unknown>[] {
  return linesOf(dir)
    .map(parsed)
    .filter((one) => one['kind'] === 'end');
}

describe('decisions that a crash left open', () => {
  it('are ended as a crash with what their decision said, and the chain is whole', async () => {
    const rule = { file: 'policies/a.yaml', line: 3, text: 'allow "a" \u{1F600}' };
    const dir = await crashed(async (trail) => {
      await record(trail, decision({ flow: 'A', requestId: 'A', stage: 'connect', rule, path: '/p?q=1' }));
      await record(
        trail,
        decision({ flow: 'A', requestId: 'B', verdict: 'deny', reason: 'path_not_allowed' }),
      );
    });
    await reopened(dir);
    const [first, second, ...others] = endsOf(dir);
    expect(others).toEqual([]);
    const [decided] = linesOf(dir).map(parsed);
    const same = ['stage', 'flow', 'request_id', 'group', 'identity', 'client', 'via', 'host', 'port'];
    for (const name of [...same, 'method', 'path', 'verdict', 'reason', 'rule', 'treat', 'keys', 'policy'])
      expect([name, first?.[name]]).toEqual([name, decided?.[name]]);
    expect(first).toMatchObject({ ended: 'crash', status: 0, bytes_up: 0, bytes_down: 0, ms: 0 });
    expect(first?.['note']).toMatch(/crashed: 2 ends/);
    expect(second).toMatchObject({
      request_id: 'B',
      ended: 'crash',
      verdict: 'deny',
      reason: 'path_not_allowed',
    });
    expect(verifyFolder(dir)).toMatchObject({ records: 4, finding: null });
  });

  it('are decisions: what operators did has no end', async () => {
    const dir = await crashed(async (trail) => {
      trail.operator(operator());
      await record(trail, decision({ flow: 'A', requestId: 'A' }));
    });
    await reopened(dir);
    expect(endsOf(dir)).toMatchObject([{ flow: 'A', ended: 'crash' }]);
    expect(verifyFolder(dir)).toMatchObject({ records: 3, finding: null });
  });

  it('are not ended twice: neither what had its end, nor at the start after that', async () => {
    const dir = await crashed(async (trail) => {
      await record(trail, decision({ flow: 'A', requestId: 'A' }));
      trail.end(end({ flow: 'A', requestId: 'A' }));
      await record(trail, decision({ flow: 'B', requestId: 'B' }));
    });
    await reopened(dir);
    await reopened(dir);
    expect(endsOf(dir).map((one) => `${String(one['flow'])} ${String(one['ended'])}`)).toEqual([
      'A done',
      'B crash',
    ]);
  });

  it('of which the ends may stand in a later file are found there', async () => {
    const small = { maxFileBytes: 1 };
    const dir = await crashed(async (trail) => {
      for (const flow of ['A', 'B', 'C']) await record(trail, decision({ flow, requestId: flow }));
      for (const flow of ['C', 'A']) trail.end(end({ flow, requestId: flow }));
    }, small);
    await openTrail(dir, small).close();
    expect(endsOf(dir).map((one) => `${String(one['flow'])} ${String(one['ended'])}`)).toEqual([
      'C done',
      'A done',
      'B crash',
    ]);
  });

  it('are none after a clean stop, whatever the file says', async () => {
    const dir = join(stateDir(), 'audit');
    const trail = openTrail(dir);
    await record(trail, decision());
    await trail.close();
    await reopened(dir);
    expect(endsOf(dir)).toEqual([]);
  });
});
