/** The desk by itself, over a store that answers when the test lets it: what may happen while a decision is written down. */
import { describe, expect, it } from 'vitest';
import type { Decided, Decision, DeskEvent, Held, Left } from '../../../src/base/approvals.ts';
import { FairShare } from '../../../src/base/fair-share.ts';
import type { Approval } from '../../../src/flow/approval.ts';
import { type Denied, denied } from '../../../src/flow/reason.ts';
import type { Ask } from '../../../src/flow/verdict.ts';
import { ApprovalDesk } from '../../../src/gate/approvals.ts';
import type { Found, Ruling, Rulings } from '../../../src/state/rulings.ts';
import { parseAuthority } from '../../../src/wire/authority.ts';

const NOTHING: Found = { ruling: null, coolUntil: 0 };

const ASK: Ask = {
  kind: 'ask',
  rule: { file: 'policies/a.yaml', line: 3, text: 'approve pay.test' },
  waitMs: 60_000,
  rememberMs: 600_000,
  cooldownMs: 0,
  secondFactor: false,
  // biome-ignore lint/suspicious/noThenProperty: an Ask is data and never awaited
  then: {
    kind: 'allow',
    rule: undefined,
    treat: 'intercept',
    addresses: [],
    protocol: 'tls',
    idleMs: 1,
    prefersH2: false,
    judgesRequests: true,
  },
};

/** Answers `find` at once and `put` when told to. */
class SlowRulings implements Rulings {
  found: Found = NOTHING;
  readonly puts: { ruling: Ruling; told: (failed: Error | null) => void }[] = [];
  find(_of: object, told: (found: Found) => void): void {
    told(this.found);
  }
  put(ruling: Ruling, told: (failed: Error | null) => void): void {
    this.puts.push({ ruling, told });
  }
  list(told: (rulings: readonly Ruling[]) => void): void {
    told(this.found.ruling === null ? [] : [this.found.ruling]);
  }
  forget(_id: string, told: (done: boolean) => void): void {
    told(false);
  }
}

type Answer = Approval | Denied | null;

function scene(ask: Ask = ASK) {
  let ids = 0;
  let mono = 0;
  const rulings = new SlowRulings();
  const waiting = new FairShare(50);
  const desk = new ApprovalDesk({
    clock: { now: () => 1_000_000 + mono, mono: () => mono },
    newId: () => {
      ids += 1;
      return `id ${ids}`;
    },
    rulings,
    waiting,
    draining: () => false,
  });
  const events: DeskEvent[] = [];
  desk.subscribe((event) => events.push(event));
  const hold = (
    body = 'a',
    key = 'k',
  ): { answers: Answer[]; leave: (how: Left) => void; now: Ask | Denied } => {
    const target = parseAuthority('pay.test:443');
    if ('reason' in target) throw new Error('bad authority');
    const answers: Answer[] = [];
    const state = { answers, leave: (_how: Left): void => {}, now: ask as Ask | Denied };
    const held: Held = {
      requestId: 'r',
      identity: { id: `tok_${key}`, group: 'g', proof: 'token' },
      client: '10.0.0.1',
      target: { ...target, via: 'connect' },
      scheme: 'https',
      facts: { method: 'POST', path: '/', protocol: 'http/1.1' },
      shownPath: '/',
      keys: [],
      key,
      bodyView: () => null,
      likeness: () => `${key} ${body}`,
      judge: () => state.now,
      told: (answer) => void answers.push(answer),
    };
    state.leave = desk.hold(held, ask);
    return state;
  };
  const decide = (id: string, more: Partial<Decision> = {}): Decided[] => {
    const told: Decided[] = [];
    const decision = { decision: 'allow', reason: null, remember: true, by: 'ann', verified: false } as const;
    desk.decide({ ...decision, id, ...more }, (decided) => told.push(decided));
    return told;
  };
  const advance = (ms: number): void => {
    mono += ms;
    desk.tick(mono);
  };
  return { desk, rulings, waiting, events, hold, decide, advance };
}

describe('while a yes is written down', () => {
  it('nothing has gone on, a second operator is late, and the wait does not run out', () => {
    const { desk, rulings, hold, decide, advance } = scene();
    const { answers } = hold();
    const first = decide('id 1');
    expect(decide('id 1', { by: 'bob', decision: 'deny' })).toEqual([
      { kind: 'over', how: 'allowed', by: 'ann' },
    ]);
    advance(120_000);
    expect([answers, first, desk.list().length]).toEqual([[], [], 1]);
    rulings.puts[0]?.told(null);
    expect(first).toMatchObject([{ kind: 'done', released: 1 }]);
    expect(answers).toMatchObject([{ id: 'id 1', by: 'ann' }]);
  });

  it('a client that leaves is not let through, and its place is free', () => {
    const { desk, rulings, waiting, hold, decide } = scene();
    const { answers, leave } = hold();
    const told = decide('id 1');
    leave('withdrawn');
    rulings.puts[0]?.told(null);
    expect([answers, desk.list(), waiting.takenBy('g')]).toEqual([[], [], 0]);
    expect(told).toMatchObject([{ kind: 'done', released: 0 }]);
  });

  it('who comes to wait was not decided on', () => {
    const { desk, rulings, hold, decide } = scene({ ...ASK, cooldownMs: 60_000, rememberMs: 0 });
    const early = hold();
    decide('id 1');
    const late = hold();
    rulings.puts[0]?.told(null);
    expect([early.answers.length, late.answers.length]).toEqual([1, 0]);
    expect(desk.list()).toMatchObject([{ id: 'id 2', waiting: 1 }]);
  });

  it('what a policy refuses meanwhile stays refused', () => {
    const { desk, rulings, hold, decide } = scene();
    const one = hold();
    decide('id 1');
    one.leave('refused');
    rulings.puts[0]?.told(null);
    expect([one.answers, desk.list()]).toEqual([[], []]);
  });

  it('a store that fails lets nothing through, and it can be decided again', () => {
    const { rulings, hold, decide } = scene();
    const { answers } = hold();
    const told = decide('id 1');
    rulings.puts[0]?.told(new Error('ENOSPC'));
    expect([told, answers]).toEqual([[{ kind: 'failed' }], []]);
    expect(decide('id 1', { remember: false })).toMatchObject([{ kind: 'done', remembered: null }]);
    expect(answers).toHaveLength(1);
  });

  it('a no holds at once for its request though it cannot be kept', () => {
    const { rulings, hold, decide } = scene({ ...ASK, cooldownMs: 60_000 });
    const { answers } = hold();
    decide('id 1', { decision: 'deny', reason: 'no' });
    rulings.puts[0]?.told(new Error('ENOSPC'));
    expect(answers).toMatchObject([{ reason: 'approval_denied', detail: 'no', ruling: { by: 'ann' } }]);
  });
});

describe('an entry', () => {
  it('is another one when its shown request leaves and the next is not the same', () => {
    const { desk, hold, decide } = scene();
    const first = hold('a');
    hold('b');
    first.leave('withdrawn');
    expect(desk.list()).toMatchObject([{ id: 'id 2', waiting: 1 }]);
    expect(decide('id 1')).toEqual([{ kind: 'over', how: 'withdrawn', by: null }]);
  });

  it('stays the same when a request that looks alike takes the place', () => {
    const { desk, hold } = scene();
    const first = hold('a');
    hold('a');
    first.leave('withdrawn');
    expect(desk.list()).toMatchObject([{ id: 'id 1', waiting: 1 }]);
  });

  it('times each of its requests by itself', () => {
    const { desk, hold, advance } = scene();
    const first = hold('a');
    advance(40_000);
    const second = hold('a');
    advance(30_000);
    expect([first.answers, second.answers]).toMatchObject([[{ reason: 'approval_timeout' }], []]);
    expect(desk.list()).toMatchObject([{ waiting: 1 }]);
    advance(31_000);
    expect([second.answers.length, desk.list().length]).toEqual([1, 0]);
  });

  it('goes by the rule in force when it is decided, not by the one that held it', () => {
    const { hold, decide } = scene();
    const one = hold();
    one.now = { ...ASK, secondFactor: true };
    expect(decide('id 1')).toEqual([{ kind: 'code_needed' }]);
  });

  it('counts each request once, however it ends', () => {
    const { desk, events, hold, decide, advance } = scene();
    const left = hold('a');
    left.leave('withdrawn');
    left.leave('refused');
    hold('a');
    decide('id 2', { remember: false });
    hold('a');
    advance(61_000);
    hold('a');
    desk.drain();
    const ends = events.flatMap((event) => (event.kind === 'ended' ? [event.how] : []));
    expect(ends).toEqual(['withdrawn', 'allowed', 'timeout', 'refused']);
  });
});

describe('an earlier yes', () => {
  const yes = (over: Partial<Ruling> = {}): Ruling => ({
    decision: 'allow',
    key: 'k',
    id: 'old',
    group: 'g',
    rule: ASK.rule.text,
    what: 'POST pay.test:443/',
    by: 'ann',
    reason: null,
    verified: false,
    at: 999_000,
    until: 1_500_000,
    coolUntil: 0,
    ...over,
  });

  it.each<[string, Partial<Ruling>, Partial<Ask>, boolean]>([
    ['that holds', {}, {}, true],
    ['that is over', { until: 1_000_000 }, {}, false],
    ['from the future, as after a clock was set back', { at: 1_000_001 }, {}, false],
    ['of a rule that remembers no more', {}, { rememberMs: 0 }, false],
    ['of a rule that remembers less', { at: 900_000 }, { rememberMs: 60_000 }, false],
    ['without a code, where the rule wants one now', {}, { secondFactor: true }, false],
    ['with a code', { verified: true }, { secondFactor: true }, true],
  ])('%s: covers the request is %s', (_title, ruling, ask, covers) => {
    const { desk, rulings, hold } = scene({ ...ASK, ...ask });
    rulings.found = { ruling: yes(ruling), coolUntil: 0 };
    const { answers } = hold();
    expect([answers.length, desk.list().length]).toEqual(covers ? [1, 0] : [0, 1]);
  });

  it('that was said elsewhere while the request came to wait lets it go on with the next tick', () => {
    const { desk, rulings, waiting, events, hold, decide, advance } = scene();
    const [one, two, other] = [hold('a'), hold('b'), hold('a', 'other')];
    rulings.found = { ruling: yes({ at: 1_000_000 }), coolUntil: 0 };
    advance(1_000);
    expect([one.answers, two.answers]).toMatchObject([
      [{ id: 'old', by: 'ann' }],
      [{ id: 'old', by: 'ann' }],
    ]);
    expect([other.answers, desk.list().length, waiting.takenBy('g')]).toEqual([[], 1, 1]);
    expect(decide('id 1')).toEqual([{ kind: 'over', how: 'allowed', by: 'ann' }]);
    const ends = events.flatMap((event) => (event.kind === 'ended' ? [event.how] : []));
    expect(ends).toEqual(['remembered', 'remembered']);
  });

  it('or no that was said elsewhere ends the wait as well', () => {
    const { rulings, hold, decide, advance } = scene({ ...ASK, cooldownMs: 60_000 });
    const { answers } = hold();
    rulings.found = { ruling: yes({ decision: 'deny', reason: 'never', at: 1_000_000 }), coolUntil: 0 };
    advance(1_000);
    expect(answers).toMatchObject([{ reason: 'approval_denied', detail: 'never', ruling: { by: 'ann' } }]);
    expect(decide('id 1')).toEqual([{ kind: 'over', how: 'denied', by: 'ann' }]);
  });

  it.each<[string, Partial<Ruling>, Partial<Ask>]>([
    ['without a code, where the rule wants one by now', {}, { secondFactor: true }],
    ['of a rule that remembers no more', {}, { rememberMs: 0 }],
    ['that is over', { until: 1_000_500 }, {}],
  ])('that was said elsewhere, %s, does not', (_title, ruling, ask) => {
    const { rulings, hold, advance } = scene();
    const one = hold();
    one.now = { ...ASK, ...ask };
    rulings.found = { ruling: yes({ at: 1_000_000, ...ruling }), coolUntil: 0 };
    advance(1_000);
    expect(one.answers).toEqual([]);
  });

  it('that is just being said here is waited for, whatever was said elsewhere', () => {
    const { rulings, hold, decide, advance } = scene();
    const { answers } = hold();
    const told = decide('id 1', { by: 'bob' });
    rulings.found = { ruling: yes({ at: 1_000_000 }), coolUntil: 0 };
    advance(1_000);
    expect(answers).toEqual([]);
    rulings.puts[0]?.told(null);
    expect([told, answers]).toMatchObject([[{ kind: 'done', released: 1 }], [{ by: 'bob' }]]);
  });

  it('does not come when the desk is closed', () => {
    const { desk, hold } = scene();
    const { answers } = hold();
    desk.drain();
    expect(answers).toEqual([denied('draining')]);
  });
});
