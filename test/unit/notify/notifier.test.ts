/** The webhook of operators: what it is told, how often, and what becomes of what it does not take. */
import { createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { DeskEvent } from '../../../src/base/approvals.ts';
import { Notifier, type Outcome } from '../../../src/notify/notifier.ts';
import type { Posted } from '../../../src/notify/post.ts';
import { eventually } from '../../helpers/world.ts';
import { HELD } from '../admin/fakes.ts';

const AT = Date.parse('2026-03-01T12:00:00.000Z');
const held = (over: Partial<typeof HELD> = {}): DeskEvent => ({ kind: 'held', view: { ...HELD, ...over } });

function receiver(answers: Posted[] = [], format: 'json' | 'slack' = 'json') {
  const got: { body: string; headers: Readonly<Record<string, string>> }[] = [];
  const waits: number[] = [];
  const outcomes: Outcome[] = [];
  let mono = 0;
  const post = async (body: string, headers: Readonly<Record<string, string>>): Promise<Posted> => {
    got.push({ body, headers });
    return answers.shift() ?? 'ok';
  };
  const notifier = new Notifier({
    post: Object.assign(post, { close: async () => {} }),
    format,
    secret: 'a secret',
    clock: { now: () => AT, mono: () => mono },
    onOutcome: (outcome) => outcomes.push(outcome),
    pause: async (ms) => void waits.push(ms),
  });
  const advance = (ms: number): void => {
    mono += ms;
  };
  return {
    notifier,
    got,
    waits,
    outcomes,
    advance,
    done: (count: number) => eventually(() => outcomes.length >= count),
  };
}

describe('a message', () => {
  it('is signed over its time and body, and holds neither body nor query of the call', async () => {
    const { notifier, got, done } = receiver();
    notifier.take(
      held({ path: '/v1/charges?card=4242', url: 'https://api.stripe.com/v1/charges?card=4242' }),
    );
    await done(1);
    const [{ body, headers } = { body: '', headers: {} }] = got;
    const timestamp = String(AT / 1000);
    const signature = createHmac('sha256', 'a secret').update(`${timestamp}.${body}`).digest('hex');
    expect(headers).toMatchObject({
      'x-sallyport-timestamp': timestamp,
      'x-sallyport-signature': `v1=${signature}`,
      'content-type': 'application/json',
    });
    expect(JSON.parse(body)).toMatchObject({
      version: 1,
      event: 'approval.held',
      approval: { id: HELD.id, method: 'POST', path: '/v1/charges?...', keys: ['STRIPE_KEY'] },
    });
    expect(body).not.toMatch(/4242|amount|likeness/);
  });

  it('for Slack gives an agent no link, no mention and no control character', async () => {
    const { notifier, got, done } = receiver([], 'slack');
    notifier.take(held({ path: '/<!channel>`*\u202e\n<https://evil.test|ok>' }));
    notifier.take({ kind: 'decided', view: HELD, decision: 'deny', by: 'ann' });
    await done(2);
    const [waits, decided] = got.map(({ body }) => body);
    expect(waits).toContain("POST api.stripe.com:443/&lt;!channel&gt;'*??&lt;https://evil.test|ok&gt;`");
    expect(decided).toBe('{"text":"Denied by ann: `POST api.stripe.com:443/v1/charges` of group ai-agents"}');
  });
});

describe('a receiver', () => {
  it('that is out of reach is tried again, later each time, with a signature of that time', async () => {
    const { notifier, got, waits, outcomes, done } = receiver(['later', 'later', 'ok']);
    notifier.take(held());
    await done(1);
    expect([got.length, waits, outcomes]).toEqual([3, [1_000, 2_000], ['sent']]);
  });

  it('that stays out of reach is given up, and the next message is tried all the same', async () => {
    const { notifier, got, outcomes, done } = receiver(Array.from({ length: 6 }, () => 'later' as const));
    notifier.take(held());
    notifier.take(held({ key: 'c' }));
    await done(2);
    expect([got.length, outcomes]).toEqual([7, ['failed', 'sent']]);
  });

  it('that says no is not asked again', async () => {
    const { notifier, got, outcomes, done } = receiver(['never']);
    notifier.take(held());
    await done(1);
    expect([got.length, outcomes]).toEqual([1, ['failed']]);
  });

  it('hears of a call that is repeated once a minute', async () => {
    const { notifier, got, advance, done } = receiver();
    for (let times = 0; times < 5; times += 1) notifier.take(held({ id: `id ${times}` }));
    await done(1);
    advance(61_000);
    notifier.take(held());
    await done(2);
    expect(got).toHaveLength(2);
  });

  it('hears of the same call again once it was decided', async () => {
    const { notifier, got, done } = receiver();
    notifier.take(held());
    notifier.take({ kind: 'decided', view: HELD, decision: 'allow', by: 'ann' });
    notifier.take(held());
    await done(3);
    expect(got).toHaveLength(3);
  });

  it('of a flood hears of as many as may wait', async () => {
    const { notifier, outcomes, done } = receiver();
    for (let call = 0; call < 500; call += 1) notifier.take(held({ key: String(call) }));
    await done(500);
    expect(outcomes.filter((outcome) => outcome === 'dropped').length).toBeGreaterThanOrEqual(395);
  });

  it('hears nothing after the end', async () => {
    const { notifier, got } = receiver();
    await notifier.close();
    notifier.take(held());
    expect(got).toEqual([]);
  });
});
