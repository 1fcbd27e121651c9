/** Operators: tokens shown once, roles, revocation, and second factors that are used once. */
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Secret, TOTP, URI } from 'otpauth';
import { describe, expect, it, onTestFinished } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import { mayAct, ROLES } from '../../../src/base/operator.ts';
import { CODE_WINDOW_MS, MAX_WRONG_CODES } from '../../../src/operators/code-check.ts';
import { type OperatorStore, openOperators } from '../../../src/operators/store.ts';
import { eventually } from '../../helpers/world.ts';
import { heldClock, stateDir } from '../audit/samples.ts';

const START = Date.parse('2026-03-01T12:00:00.000Z');

function open(dir: string, over: Partial<Parameters<typeof openOperators>[0]> = {}): OperatorStore {
  const store = openOperators({ dir, clock: systemClock, watch: false, ...over });
  onTestFinished(() => store.close());
  return store;
}

describe('a token', () => {
  it('lets its operator in, with their role, and stands in no file', () => {
    const dir = stateDir();
    const store = open(dir);
    const token = store.add('ann', 'approver');
    expect(store.verify(token)).toEqual({ name: 'ann', role: 'approver' });
    expect(readFileSync(join(dir, 'operators.json'), 'utf8')).not.toContain(token.slice(8));
    expect(statSync(join(dir, 'operators.json')).mode & 0o777).toBe(0o600);
    expect(open(dir).verify(token)).toEqual({ name: 'ann', role: 'approver' });
  });

  it.each([
    ['one character less', (token: string) => token.slice(0, -1)],
    ['one character more', (token: string) => `${token}x`],
    ['another character', (token: string) => `${token.slice(0, -1)}${token.endsWith('A') ? 'B' : 'A'}`],
    ['another name', (token: string) => token.replace('ann', 'bob')],
    ['nothing', () => ''],
  ])('with %s lets nobody in', (_title, bend) => {
    const store = open(stateDir());
    const token = store.add('ann', 'admin');
    store.add('bob', 'admin');
    expect(store.verify(bend(token))).toBeNull();
  });

  it('that is revoked lets nobody in, here and in whoever follows the file', async () => {
    const dir = stateDir();
    const [store, follower] = [open(dir), open(dir, { watch: true })];
    const token = store.add('ann', 'viewer');
    await eventually(() => follower.verify(token));
    expect(store.revoke('ann')).toBe(true);
    expect(store.verify(token)).toBeNull();
    expect(store.valid({ name: 'ann', role: 'viewer' })).toBe(false);
    await eventually(() => follower.verify(token) === null);
    expect(store.list()).toMatchObject([{ name: 'ann', totp: false }]);
    expect(store.revoke('nobody')).toBe(false);
  });

  it('of a name that was revoked is void when the name is given anew', () => {
    const store = open(stateDir());
    const before = store.add('ann', 'admin');
    store.revoke('ann');
    const now = store.add('ann', 'viewer');
    expect([store.verify(before), store.verify(now)?.role]).toEqual([null, 'viewer']);
    expect(store.valid({ name: 'ann', role: 'admin' })).toBe(false);
  });

  it.each(['admin', 'cli', 'file', 'signal', 'cli:root', '', 'Ann', 'a b', 'a'.repeat(65), '-a', 'é'])(
    'is not given to %j',
    (name) => {
      expect(() => open(stateDir()).add(name, 'viewer')).toThrow(/name/);
    },
  );

  it('is not given twice to one name', () => {
    const store = open(stateDir());
    store.add('ann', 'viewer');
    expect(() => store.add('ann', 'admin')).toThrow(/revoke it first/);
  });
});

describe('a file that cannot be trusted lets nobody in, and says why', () => {
  it.each([
    ['no JSON', '{'],
    ['an unknown key', '{"version":1,"operators":[],"factors":[],"x":1}'],
    ['a role that there is not', '{"version":1,"operators":[{"name":"ann","role":"god"}],"factors":[]}'],
    ['too much', ' '.repeat(2 * 1024 * 1024)],
  ])('%s', (_title, text) => {
    const dir = stateDir();
    const token = open(dir).add('ann', 'admin');
    writeFileSync(join(dir, 'operators.json'), text);
    const told: string[] = [];
    const store = open(dir, { onProblem: (problem) => void told.push(problem) });
    expect(store.verify(token)).toBeNull();
    expect(store.valid({ name: 'ann', role: 'admin' })).toBe(false);
    expect(told).toHaveLength(1);
    expect(() => store.add('bob', 'viewer')).toThrow(/operators\.json/);
  });

  it('one that others can read', () => {
    const dir = stateDir();
    const token = open(dir).add('ann', 'admin');
    chmodSync(join(dir, 'operators.json'), 0o644);
    expect(open(dir).verify(token)).toBeNull();
  });
});

describe('a second factor', () => {
  const enrolled = (dir = stateDir(), name = 'ann') => {
    const clock = heldClock(START);
    const store = open(dir, { clock });
    if (name !== 'admin') store.add(name, 'approver');
    const uri = store.enrol(name);
    const app = URI.parse(uri);
    if (!(app instanceof TOTP)) throw new Error('not by time');
    const codeAt = (ms: number): string => app.generate({ timestamp: ms });
    return { dir, clock, store, uri, codeAt };
  };

  it('is an otpauth URI that any app takes, and stands in no answer afterwards', () => {
    const { store, uri } = enrolled();
    expect(uri).toMatch(
      /^otpauth:\/\/totp\/Sallyport:ann\?issuer=Sallyport&secret=[A-Z2-7]{32}&algorithm=SHA1&digits=6&period=30$/,
    );
    expect(store.list()).toMatchObject([{ name: 'ann', totp: true }]);
    expect(JSON.stringify(store.list())).not.toContain('secret');
  });

  it('gives the codes of RFC 6238', async () => {
    const dir = stateDir();
    const clock = heldClock(59_000);
    const store = open(dir, { clock });
    store.enrol('admin');
    const file = join(dir, 'operators.json');
    const secret = Secret.fromUTF8('12345678901234567890').base32;
    writeFileSync(file, readFileSync(file, 'utf8').replace(/"secret": "\w+"/, `"secret": "${secret}"`));
    expect(await store.verifyCode('admin', '287082')).toBe('right');
  });

  it('takes a right code once, whoever asks, also after a restart', async () => {
    const { dir, clock, store, codeAt } = enrolled();
    const code = codeAt(START);
    expect(await store.verifyCode('ann', code)).toBe('right');
    expect(await store.verifyCode('ann', code)).toBe('wrong');
    expect(await open(dir, { clock }).verifyCode('ann', code)).toBe('wrong');
    // Nor an older one that was never used.
    expect(await store.verifyCode('ann', codeAt(START - 30_000))).toBe('wrong');
    clock.time = START + 30_000;
    expect(await store.verifyCode('ann', codeAt(START + 30_000))).toBe('right');
  });

  it.each([
    ['the step before', -30_000, 'right'],
    ['the step after', 30_000, 'right'],
    ['two steps before', -60_000, 'wrong'],
    ['two steps after', 60_000, 'wrong'],
  ])('of %s', async (_title, away, verdict) => {
    const { store, codeAt } = enrolled();
    expect(await store.verifyCode('ann', codeAt(START + away))).toBe(verdict);
  });

  it.each(['', '12345', '1234567', 'abcdef', '１２３４５６', ' 123456'])('is never %j', async (code) => {
    expect(await enrolled().store.verifyCode('ann', code)).toBe('wrong');
  });

  it('is not guessed: after a few wrong codes not even the right one counts, for a while', async () => {
    const { clock, store, codeAt } = enrolled();
    const right = (): string => codeAt(clock.time);
    const wrong = (): string => (right() === '000000' ? '000001' : '000000');
    for (let tries = 0; tries < MAX_WRONG_CODES; tries += 1) await store.verifyCode('ann', wrong());
    expect(await store.verifyCode('ann', right())).toBe('too_many');
    clock.time += CODE_WINDOW_MS + 1;
    expect(await store.verifyCode('ann', right())).toBe('right');
  });

  it('is nobody’s who did not enrol, and goes with its operator', async () => {
    const { store, codeAt } = enrolled();
    expect(await store.verifyCode('bob', '000000')).toBe('not_enrolled');
    expect(() => store.enrol('bob')).toThrow(/no operator/);
    store.revoke('ann');
    expect(await store.verifyCode('ann', codeAt(START))).toBe('not_enrolled');
  });

  it('can be the built-in admin’s', async () => {
    const { store, codeAt } = enrolled(stateDir(), 'admin');
    expect(await store.verifyCode('admin', codeAt(START))).toBe('right');
  });

  it('that is enrolled anew voids the one of before', async () => {
    const { store, codeAt } = enrolled();
    store.enrol('ann');
    expect(await store.verifyCode('ann', codeAt(START))).toBe('wrong');
  });
});

it('each role may do what the ones before it may', () => {
  const allowed = ROLES.map((role) => ROLES.filter((needed) => mayAct({ name: 'x', role }, needed)));
  expect(allowed).toEqual([['viewer'], ['viewer', 'approver'], ['viewer', 'approver', 'admin']]);
});

it('a store that nobody wrote to leaves no file', () => {
  const dir = stateDir();
  expect(open(dir).list()).toEqual([]);
  expect(existsSync(join(dir, 'operators.json'))).toBe(false);
});
