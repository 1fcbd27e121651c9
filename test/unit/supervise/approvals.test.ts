/** Held calls of several workers as one list, and one decision for all of them. */
import { describe, expect, it } from 'vitest';
import type { ApprovalView, Decided, Decision } from '../../../src/base/approvals.ts';
import { type ApprovalSeat, crewApprovals } from '../../../src/supervise/approvals.ts';
import { HELD } from '../admin/fakes.ts';

/** A worker that holds these; `null` answers nothing. */
function seat(
  held: readonly ApprovalView[] | null,
  asked: Decision[],
  after: Decided = { kind: 'unknown' },
): ApprovalSeat {
  const done: Decided = { kind: 'done', group: 'ai-agents', released: 2, remembered: null };
  return {
    approvals: async () => (held === null ? null : { approvals: held, remembered: [] }),
    decide: async (decided) => {
      if (held === null) return null;
      asked.push(decided);
      const mine = held.some(({ id, key }) => id === decided.id || key === decided.like?.key);
      return mine ? done : after;
    },
    forget: async () => (held === null ? null : false),
  };
}

const decision: Decision = {
  id: HELD.id,
  decision: 'allow',
  reason: null,
  remember: true,
  by: 'ann',
  verified: false,
};

describe('the crew', () => {
  it('shows what several workers hold as one entry, the oldest request of it', async () => {
    const later = { ...HELD, id: 'later', since: '2026-03-01T12:00:09.000Z' };
    const other = { ...HELD, id: 'other', key: 'c'.repeat(64), since: '2026-03-01T11:00:00.000Z' };
    const crew = crewApprovals(() => [seat([later], []), seat(null, []), seat([HELD, other], [])]);
    const { approvals } = await crew.approvals();
    expect(approvals).toMatchObject([
      { id: 'other', waiting: 2 },
      { id: HELD.id, waiting: 4, same: 2, since: HELD.since },
    ]);
  });

  it('does not count what looks different as the same', async () => {
    const unlike = { ...HELD, id: 'unlike', likeness: 'd'.repeat(64) };
    const { approvals } = await crewApprovals(() => [seat([HELD], []), seat([unlike], [])]).approvals();
    expect(approvals).toMatchObject([{ waiting: 4, same: 1 }]);
  });

  it('has a decision carried out where it was shown, then where the same is held, by what was shown', async () => {
    const [first, second, third]: [Decision[], Decision[], Decision[]] = [[], [], []];
    const twin = { ...HELD, id: 'twin' };
    const crew = crewApprovals(() => [seat([], first), seat([HELD], second), seat([twin], third)]);
    expect(await crew.decide(decision)).toMatchObject({ kind: 'done', released: 4 });
    const like = { key: HELD.key, likeness: HELD.likeness };
    expect([first, second, third]).toEqual([[], [decision], [{ ...decision, like }]]);
  });

  it('says what became of what nobody holds any more', async () => {
    const over: Decided = { kind: 'over', how: 'timeout', by: null };
    const crew = crewApprovals(() => [seat([], []), seat([], [], over), seat(null, [])]);
    expect(await crew.decide(decision)).toEqual(over);
    expect(await crewApprovals(() => [seat([], [])]).decide(decision)).toEqual({ kind: 'unknown' });
  });

  it('does not say that nobody holds it while one of them does not answer', async () => {
    const unanswered = { kind: 'unanswered' };
    const crew = crewApprovals(() => [seat(null, []), seat([], [])]);
    expect(await crew.decide(decision)).toEqual(unanswered);
    const deaf = { ...seat([HELD], []), decide: async () => null };
    expect(await crewApprovals(() => [seat([], []), deaf]).decide(decision)).toEqual(unanswered);
  });

  it('takes one decision after the other', async () => {
    const asked: Decision[] = [];
    const crew = crewApprovals(() => [seat([HELD], asked)]);
    await Promise.all([crew.decide(decision), crew.decide({ ...decision, by: 'bob' })]);
    expect(asked.map(({ by }) => by)).toEqual(['ann', 'bob']);
  });
});
