/** What `learn` proposes allows all that it was made of, and no other host, port or method. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { proposeRules } from '../../src/config/learn.ts';
import { learnRules, type Observation } from '../../src/policy/learn.ts';
import { canonicalPath, matchesPath, parsePathPattern } from '../../src/policy/path-pattern.ts';
import { setOf } from '../unit/policy/policy-folder.ts';

const segment = fc.oneof(
  fc.constantFrom('v1', 'users', 'items', 'a%20b', 'x*y', '%2F', ';v=1', ''),
  fc.integer({ min: 0, max: 30 }).map(String),
);
const path = fc.array(segment, { minLength: 1, maxLength: 5 }).map((parts) => `/${parts.join('/')}`);
const observation = fc.record({
  host: fc.constantFrom('a.example.com', 'b.example.com', '8.8.8.8', '2606:4700::1111'),
  port: fc.constantFrom(443, 80, 8443),
  read: fc.boolean(),
  method: fc.constantFrom('GET', 'POST', 'DELETE'),
  path,
  scheme: fc.constantFrom('https' as const, 'http' as const),
});

const seen = (one: {
  host: string;
  port: number;
  read: boolean;
  method: string;
  path: string;
  scheme: 'https' | 'http';
}): Observation => ({
  host: one.host,
  port: one.port,
  method: one.read ? one.method : null,
  path: one.read ? one.path : null,
  scheme: one.read ? one.scheme : 'https',
  calls: 1,
  first: '',
  last: '',
});

const covered = (patterns: readonly string[] | null, target: string): boolean => {
  if (patterns === null) return true;
  const canonical = canonicalPath(target);
  if ('kind' in canonical) return false;
  return patterns.map(parsePathPattern).some((one) => 'segments' in one && matchesPath(one, canonical));
};

describe('learned rules', () => {
  it('cover every call that they are made of, and name no host, port or method that was not seen', () => {
    fc.assert(
      fc.property(
        fc.array(observation, { maxLength: 60 }),
        fc.integer({ min: 2, max: 6 }),
        (all, distinct) => {
          const some = all.map(seen);
          const { rules, left } = learnRules(some, distinct);
          const kept = new Set([...rules.flatMap(({ from }) => from), ...left.map((one) => one.seen)]);
          expect(kept.size).toBe(new Set(some).size);
          for (const rule of rules) {
            for (const { host, port, method, path: at } of rule.from) {
              expect(rule.allow).toBe(`${host.includes(':') ? `[${host}]` : host}:${port}`);
              if (method !== null && rule.methods !== null) expect(rule.methods).toContain(method);
              if (at !== null) expect(covered(rule.paths, at)).toBe(true);
            }
            const methods = new Set(rule.from.map(({ method }) => method));
            if (rule.methods !== null) expect(new Set(rule.methods)).toEqual(methods);
          }
        },
      ),
      { numRuns: 400 },
    );
  });

  it('are proposed only where the group would then allow every one of those calls', () => {
    const set = setOf({
      'agents.yaml':
        'version: 1\ngroup: agents\nmode: monitor\nrules:\n  - allow: a.example.com\n    methods: [GET]\n    paths: [/v1/*]\n  - deny: "*"\n',
      'guardrails.yaml': 'version: 1\nrules:\n  - deny: b.example.com\n',
    });
    const group = set.groups.get('agents');
    if (group === undefined) throw new Error('no group');
    fc.assert(
      fc.property(fc.array(observation, { maxLength: 40 }), (all) => {
        const { rules, left } = proposeRules(set, group, { seen: all.map(seen), distinct: 3 });
        expect(rules.some(({ allow }) => allow.startsWith('b.example.com'))).toBe(false);
        for (const { why } of left)
          expect(why).not.toBe('a rule that covers it would not be decided by itself');
      }),
      { numRuns: 200 },
    );
  });
});
