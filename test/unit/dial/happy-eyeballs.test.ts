import { describe, expect, it } from 'vitest';
import { interleave } from '../../../src/dial/happy-eyeballs.ts';

describe('the order of addresses', () => {
  it('takes the families in turn, IPv6 first, each in its own order', () => {
    expect(interleave(['10.0.0.1', '10.0.0.2', '2001:db8::1', '10.0.0.3', '2001:db8::2'])).toEqual([
      '2001:db8::1',
      '10.0.0.1',
      '2001:db8::2',
      '10.0.0.2',
      '10.0.0.3',
    ]);
  });

  it('ends after six, with both families among them', () => {
    const v6 = Array.from({ length: 9 }, (_, i) => `2001:db8::${i + 1}`);
    const six = interleave([...v6, '10.0.0.1']);
    expect(six).toHaveLength(6);
    expect(six[1]).toBe('10.0.0.1');
  });
});
