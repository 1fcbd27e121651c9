import { describe, expect, it } from 'vitest';
import { SecretValue } from '../../../src/secrets/value.ts';
import { FormerValues } from '../../../src/vault/former.ts';
import { movableClock } from '../../helpers/world.ts';

const HOUR = 3_600_000;
const secretOf = (text: string): SecretValue => new SecretValue('KEY', Buffer.from(text));

describe('former values', () => {
  const shown = (former: FormerValues): string[] =>
    former.list('env:KEY').map((one) => one.expose().toString());

  it('are copies, the last four of a key, for a day', () => {
    const clock = movableClock();
    const former = new FormerValues(clock, 4);
    for (const text of ['one', 'two', 'three', 'four', 'five']) {
      const value = secretOf(text);
      expect(former.add([['env:KEY', { value }]])).toEqual([value]);
      value.zero();
    }
    expect(shown(former)).toEqual(['two', 'three', 'four', 'five']);
    const [oldest] = former.list('env:KEY');
    clock.advance(23 * HOUR);
    former.add([['env:KEY', { value: null }]]);
    expect(shown(former)).toHaveLength(4);
    clock.advance(2 * HOUR);
    former.add([]);
    expect(shown(former)).toEqual([]);
    expect(oldest?.expose().every((byte) => byte === 0)).toBe(true);
    expect(former.list('env:OTHER')).toEqual([]);
  });
});
