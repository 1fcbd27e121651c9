import { describe, expect, it, onTestFinished } from 'vitest';
import { type CacheLimits, createCachedSource } from '../../../src/vault/cached.ts';
import { type SecretSource, SecretSourceError } from '../../../src/vault/source.ts';
import { codeOf, until } from './folder.ts';

const LIMITS: CacheLimits = {
  ttlMs: 1_000,
  failureTtlMs: 100,
  staleMs: 5_000,
  fetchMs: 200,
  soonMs: 300,
  patienceMs: 20,
  tickMs: 5,
  atOnce: 2,
};

/** A source whose fields are `NAME=value` texts by unit, on a clock that stands still. */
function scene(limits: Partial<CacheLimits> = {}) {
  let now = 0;
  const units = new Map<string, Record<string, string> | SecretSourceError | 'hang'>();
  const fetches: string[] = [];
  const outcomes: string[] = [];
  const problems: string[] = [];
  const signals: AbortSignal[] = [];
  const hanging: (() => void)[] = [];
  const source = createCachedSource({
    kind: 'kv',
    clock: { now: () => now, mono: () => now },
    limits: { ...LIMITS, ...limits },
    onFetch: (kind, outcome) => outcomes.push(`${kind} ${outcome}`),
    onProblem: (message) => problems.push(message),
    split: (name) => ({ unit: name.split('#')[0] ?? '', field: name.split('#')[1] ?? '' }),
    fetch: async (unit, signal) => {
      fetches.push(unit);
      signals.push(signal);
      if (units.get(unit) === 'hang') await new Promise<void>((resolve) => hanging.push(resolve));
      const found = units.get(unit);
      if (found instanceof SecretSourceError) throw found;
      if (found === undefined || found === 'hang') throw new Error('sk-secret in an error of somebody else');
      return { values: new Map(Object.entries(found).map(([field, text]) => [field, Buffer.from(text)])) };
    },
  });
  onTestFinished(() => source.close?.());
  return {
    source,
    units,
    fetches,
    outcomes,
    problems,
    signals,
    release: () => {
      for (const resolve of hanging.splice(0)) resolve();
    },
    pass: (ms: number) => {
      now += ms;
    },
  };
}

const DOWN = new SecretSourceError('unreadable', 'it is down');
const textOf = async (source: SecretSource, name: string) => (await source.get(name)).expose().toString();

describe('a cached source', () => {
  it('fetches once for all keys of a unit that are asked for at once, and again when they are old', async () => {
    const { source, units, fetches, outcomes, pass } = scene();
    units.set('a', { x: 'value-x', y: 'value-y' });
    expect(await Promise.all([textOf(source, 'a#x'), textOf(source, 'a#y')])).toEqual(['value-x', 'value-y']);
    pass(999);
    await textOf(source, 'a#x');
    expect(fetches).toEqual(['a']);
    pass(1);
    await textOf(source, 'a#x');
    expect(fetches).toEqual(['a', 'a']);
    expect(outcomes).toEqual(['kv ok', 'kv ok']);
  });

  it('fetches again for a key that nobody had asked for: no others are kept', async () => {
    const { source, units, fetches } = scene();
    units.set('a', { x: 'value-x', y: 'value-y' });
    await source.get('a#x');
    expect(await textOf(source, 'a#y')).toBe('value-y');
    expect(fetches).toHaveLength(2);
  });

  it('tries a failure again after its own, shorter time', async () => {
    const { source, units, fetches, pass } = scene();
    units.set('a', DOWN);
    expect(await codeOf(() => source.get('a#x'))).toBe('unreadable');
    pass(99);
    expect(await codeOf(() => source.get('a#x'))).toBe('unreadable');
    expect(fetches).toHaveLength(1);
    units.set('a', { x: 'value-x' });
    pass(1);
    expect(await textOf(source, 'a#x')).toBe('value-x');
  });

  it('gives the last good value while the source is down, for so long and no longer', async () => {
    const { source, units, problems, pass } = scene();
    units.set('a', { x: 'value-x' });
    await source.get('a#x');
    units.set('a', DOWN);
    pass(5_000);
    expect(await textOf(source, 'a#x')).toBe('value-x');
    pass(1);
    expect(await codeOf(() => source.get('a#x'))).toBe('unreadable');
    expect(problems).toEqual(['kv:a: it is down; the last value serves for now']);
    units.set('a', { x: 'value-x2' });
    pass(100);
    expect(await textOf(source, 'a#x')).toBe('value-x2');
    expect(problems.at(-1)).toBe('kv:a: answers again');
  });

  it('tells when the last good value has served too long, though nobody asks', async () => {
    const { source, units, fetches, pass } = scene();
    units.set('a', { x: 'value-x' });
    await source.get('a#x');
    units.set('a', DOWN);
    let told = 0;
    source.watch?.(() => {
      told += 1;
    });
    pass(1_000);
    await until(() => fetches.length === 2);
    expect(told).toBe(0);
    pass(4_001);
    await until(() => told > 0);
    expect(await codeOf(() => source.get('a#x'))).toBe('unreadable');
  });

  it.each(['not_found', 'denied', 'empty', 'too_large'] as const)(
    'takes %s for an answer: what it gave before is not used any more',
    async (code) => {
      const { source, units, pass } = scene();
      units.set('a', { x: 'value-x' });
      await source.get('a#x');
      units.set('a', new SecretSourceError(code, 'no'));
      pass(1_000);
      expect(await codeOf(() => source.get('a#x'))).toBe(code);
    },
  );

  it('does not use a key any more that the unit no longer holds', async () => {
    const { source, units, pass } = scene();
    units.set('a', { x: 'value-x', y: 'value-y' });
    await Promise.all([source.get('a#x'), source.get('a#y')]);
    units.set('a', { y: 'value-y' });
    pass(1_000);
    expect(await codeOf(() => source.get('a#x'))).toBe('not_found');
    expect(await textOf(source, 'a#y')).toBe('value-y');
  });

  it('waits for a fetch that hangs no longer than its limit, and not at all for long where it has a value', async () => {
    const { source, units, signals, pass } = scene();
    units.set('a', 'hang');
    expect(await codeOf(() => source.get('a#x'))).toBe('timeout');
    expect(signals[0]?.aborted).toBe(true);
    units.set('b', { x: 'value-x' });
    await source.get('b#x');
    units.set('b', 'hang');
    pass(1_000);
    expect(await textOf(source, 'b#x')).toBe('value-x');
  });

  it('runs few fetches at once, and the rest when those are over', async () => {
    const { source, units, fetches, release } = scene();
    for (const unit of ['a', 'b', 'c', 'd']) units.set(unit, 'hang');
    const all = ['a', 'b', 'c', 'd'].map((unit) => textOf(source, `${unit}#x`));
    await until(() => fetches.length === 2);
    for (const unit of ['a', 'b', 'c', 'd']) units.set(unit, { x: unit });
    release();
    expect(await Promise.all(all)).toEqual(['a', 'b', 'c', 'd']);
  });

  it('is asked again soon after an upstream refused its key, but not more often than it bears', async () => {
    const { source, units, fetches, pass } = scene();
    units.set('a', { x: 'value-1' });
    await source.get('a#x');
    const told = new Promise<void>((resolve) => source.watch?.(resolve));
    units.set('a', { x: 'value-2' });
    for (let times = 0; times < 100; times += 1) source.cached?.refreshSoon(['a#x']);
    pass(299);
    expect(await textOf(source, 'a#x')).toBe('value-1');
    expect(fetches).toHaveLength(1);
    pass(1);
    await told;
    expect(await textOf(source, 'a#x')).toBe('value-2');
    source.cached?.refreshSoon(['a#x', 'unknown#x']);
    expect(await textOf(source, 'a#x')).toBe('value-2');
    expect(fetches).toHaveLength(2);
  });

  it('fetches at once what an operator wants read again, also when a fetch is under way', async () => {
    const { source, units, fetches, release } = scene({ fetchMs: 5_000 });
    units.set('a', 'hang');
    const first = textOf(source, 'a#x');
    source.watch?.(() => {});
    await until(() => fetches.length === 1);
    source.cached?.reread();
    units.set('a', { x: 'value-x' });
    release();
    expect(await first).toBe('value-x');
    await until(() => fetches.length === 2);
  });

  it('forgets and stops what no policy names any more, and what is under way when it is closed', async () => {
    const { source, units, fetches, signals } = scene({ fetchMs: 60_000 });
    units.set('a', { x: 'value-x' });
    await source.get('a#x');
    source.cached?.keep(['b#x']);
    await source.get('a#x');
    expect(fetches).toHaveLength(2);
    units.set('c', 'hang');
    const hanging = codeOf(() => source.get('c#x'));
    await until(() => signals.length === 3);
    source.close?.();
    expect(await hanging).toBe('not_found');
    expect(signals[2]?.aborted).toBe(true);
  });

  it('forgets a key of a unit whose others are still in use', async () => {
    const { source, units, fetches } = scene();
    units.set('a', { x: 'value-x', y: 'value-y' });
    await Promise.all([source.get('a#x'), source.get('a#y')]);
    source.cached?.keep(['a#y']);
    expect(await textOf(source, 'a#y')).toBe('value-y');
    expect(fetches).toHaveLength(1);
    expect(await textOf(source, 'a#x')).toBe('value-x');
    expect(fetches).toHaveLength(2);
  });

  it('never repeats the words of an error that is not its own', async () => {
    const { source, problems } = scene();
    const error: unknown = await source.get('none#x').catch((thrown: unknown) => thrown);
    expect(String(error) + problems.join()).not.toContain('sk-secret');
    expect(problems).toEqual(['kv:none: the source failed']);
  });

  it('holds no more units than its cap', async () => {
    const { source } = scene();
    const asked = Array.from({ length: 257 }, (_, at) => codeOf(() => source.get(`u${at}#x`)));
    expect((await Promise.all(asked)).filter((code) => code === 'full')).toHaveLength(1);
  });
});
