import { describe, expect, it } from 'vitest';
import { buildSourceTable, sourceOverlaps } from '../../../src/policy/source-table.ts';

const table = buildSourceTable([
  { name: 'wide', sources: ['172.25.0.0/16', 'fd00::/8'] },
  { name: 'narrow', sources: ['172.25.7.0/24'] },
  { name: 'one', sources: ['172.25.7.9/32', '::1/128'] },
]);

describe('the source table', () => {
  it.each([
    ['172.25.1.1', 'wide'],
    ['172.25.7.1', 'narrow'],
    ['172.25.7.9', 'one'],
    ['::ffff:172.25.7.9', 'one'],
    ['fd12::1', 'wide'],
    ['::1', 'one'],
    ['172.26.0.1', null],
    ['8.8.8.8', null],
    ['nonsense', null],
    ['', null],
    ['fd12::1%eth0', null],
  ])('gives %s to %s, by the longest prefix', (address, group) => {
    expect(table.lookup(address)).toBe(group);
    expect(table.lookup(address)).toBe(group);
  });

  it('gives a range that two groups claim to neither', () => {
    const groups = [
      { name: 'a', sources: ['10.0.0.0/8'] },
      { name: 'b', sources: ['10.0.0.0/8'] },
    ];
    expect(sourceOverlaps(groups)).toEqual([['10.0.0.0/8', 'a', 'b']]);
    expect(buildSourceTable(groups).lookup('10.1.1.1')).toBeNull();
  });
});
