import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { UNLISTED } from '../../../src/base/roster.ts';
import { Deadlines, type Timed } from '../../../src/dial/deadlines.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('one timer for many', () => {
  const late: string[] = [];
  const timed = (name: string, then = (): void => {}): Timed => ({
    place: UNLISTED,
    since: 0,
    late() {
      late.push(name);
      then();
    },
  });
  beforeEach(() => void late.splice(0));

  it('tells each when its own time is over, and nobody who was in time', () => {
    const deadlines = new Deadlines(100);
    const [first, second, done] = [timed('first'), timed('second'), timed('done')];
    deadlines.begin(first);
    deadlines.begin(done);
    vi.advanceTimersByTime(60);
    deadlines.begin(second);
    deadlines.end(done);
    expect(vi.getTimerCount()).toBe(1);
    vi.advanceTimersByTime(39);
    expect(late).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(late).toEqual(['first']);
    vi.advanceTimersByTime(59);
    expect(late).toEqual(['first']);
    vi.advanceTimersByTime(1);
    expect(late).toEqual(['first', 'second']);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('times what begins while another is told', () => {
    const deadlines = new Deadlines(100);
    deadlines.begin(timed('first', () => deadlines.begin(timed('next'))));
    vi.advanceTimersByTime(100);
    expect(late).toEqual(['first']);
    vi.advanceTimersByTime(100);
    expect(late).toEqual(['first', 'next']);
  });
});
