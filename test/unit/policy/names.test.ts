import { describe, expect, it } from 'vitest';
import { decideName } from '../../../src/policy/names.ts';
import { at, rules } from './policy-folder.ts';

describe('a name', () => {
  const set = rules(
    '{ deny: shut.test }',
    '{ allow: a.test }',
    '{ allow: odd.test:9443 }',
    '{ approve: asked.test, methods: [POST] }',
    '{ allow: "*.below.test", methods: [GET] }',
    '{ allow: shut.test }',
  );
  const told = (name: string): string => decideName(set, 'g', at(`${name}:53`)).kind;

  it.each(['a.test', 'odd.test', 'asked.test', 'x.below.test'])(
    '%s may be known: a rule could allow it',
    (name) => {
      expect(told(name)).not.toBe('deny');
    },
  );

  it.each(['below.test', 'shut.test', 'other.test', 'a.test.other'])('%s may not', (name) => {
    expect(told(name)).toBe('deny');
  });

  it('is refused by the rule that refuses its connections', () => {
    expect(decideName(set, 'g', at('shut.test:53'))).toMatchObject({
      reason: 'rule_denied',
      rule: { line: 4 },
    });
    expect(decideName(set, 'nobody', at('a.test:53'))).toMatchObject({ reason: 'host_not_allowed' });
  });
});
