/** Notes of what commands did: taken in order, once, and never lost without a word. */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { OperatorEvent } from '../../../src/audit/event.ts';
import { leaveNote, NoteTaker } from '../../../src/audit/spool.ts';
import { systemClock } from '../../../src/base/clock.ts';
import { createIdSource } from '../../../src/base/ulid.ts';
import { operator, stateDir } from './samples.ts';

const newId = createIdSource(systemClock);

const note = (why: string): OperatorEvent => operator({ origin: 'cli', operator: 'cli:ann', why });

function takerOf(dir: string): { taken: OperatorEvent[]; taker: NoteTaker } {
  const taken: OperatorEvent[] = [];
  return {
    taken,
    taker: new NoteTaker(
      dir,
      (event) => void taken.push(event),
      () => 5,
    ),
  };
}

describe('notes', () => {
  it('are taken oldest first, once, and go at the next look', () => {
    const dir = stateDir();
    leaveNote(dir, '01K0000000000000000000000B', note('second'));
    leaveNote(dir, '01K0000000000000000000000A', note('first'));
    const { taken, taker } = takerOf(dir);
    taker.take();
    expect(taken).toEqual([note('first'), note('second')]);
    expect(readdirSync(join(dir, 'actions'))).toHaveLength(2);
    taker.take();
    expect(taken).toHaveLength(2);
    expect(readdirSync(join(dir, 'actions'))).toEqual([]);
  });

  it('are taken again by the next process, when this one ended before they stood in the record', () => {
    const dir = stateDir();
    leaveNote(dir, newId(), note('once'));
    takerOf(dir).taker.take();
    const next = takerOf(dir);
    next.taker.take();
    expect(next.taken).toEqual([note('once')]);
  });

  it('come a hundred at a time', () => {
    const dir = stateDir();
    for (let count = 0; count < 150; count += 1) leaveNote(dir, newId(), note(String(count)));
    const { taken, taker } = takerOf(dir);
    taker.take();
    expect(taken).toHaveLength(100);
    taker.take();
    expect(taken).toHaveLength(150);
  });

  it('of a folder that is not there are none', () => {
    const { taken, taker } = takerOf(stateDir());
    taker.take();
    expect(taken).toEqual([]);
  });

  it.each([
    ['no JSON', '{'],
    ['another kind', JSON.stringify({ ...note('x'), kind: 'decision' })],
    ['an origin that is not a command’s', JSON.stringify({ ...note('x'), origin: 'api' })],
    ['no time that there is', JSON.stringify({ ...note('x'), actedAt: 1e300 })],
    ['too much', `${JSON.stringify(note('x'))}${' '.repeat(20_000)}`],
  ])('that hold %s are told of as such', (_title, text) => {
    const dir = stateDir();
    mkdirSync(join(dir, 'actions'));
    writeFileSync(join(dir, 'actions', `${newId()}.json`), text);
    writeFileSync(join(dir, 'actions', 'other.txt'), 'left alone');
    const { taken, taker } = takerOf(dir);
    taker.take();
    expect(taken).toMatchObject([{ action: 'unknown', outcome: 'failed', origin: 'file' }]);
    taker.take();
    expect(readdirSync(join(dir, 'actions'))).toEqual(['other.txt']);
  });
});
