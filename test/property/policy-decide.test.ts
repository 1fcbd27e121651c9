import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Verdict } from '../../src/flow/verdict.ts';
import { decideConnect, decideRequest } from '../../src/policy/decide.ts';
import { explain } from '../../src/policy/explain.ts';
import type { PolicySet } from '../../src/policy/model.ts';
import { at, facts, load } from '../unit/policy/policy-folder.ts';

type Rule = {
  kind: 'allow' | 'deny' | 'approve';
  hosts: string[];
  methods?: string[];
  paths?: string[];
  ports?: number[];
};
type Ask = { host: string; port: number; method: string; path: string; scheme: 'https' | 'http' };

const host = fc.constantFrom('a.test', 'b.test', 'x.a.test', 'y.x.a.test', 'localhost', '8.8.8.8');
const pattern = fc.oneof(host, fc.constantFrom('*.a.test', '*.x.a.test', '*'));
const rule: fc.Arbitrary<Rule> = fc.record(
  {
    kind: fc.constantFrom('allow', 'allow', 'deny', 'approve'),
    hosts: fc.array(pattern, { minLength: 1, maxLength: 2 }),
    methods: fc.subarray(['GET', 'POST', 'DELETE'], { minLength: 1 }),
    paths: fc.subarray(['/v1/**', '/v1/*', '/', '/v2/x'], { minLength: 1 }),
    ports: fc.subarray([443, 80, 8443], { minLength: 1 }),
  },
  { requiredKeys: ['kind', 'hosts'] },
);
const asks: fc.Arbitrary<Ask> = fc.record({
  host,
  port: fc.constantFrom(443, 443, 80, 8443, 22),
  method: fc.constantFrom('GET', 'POST', 'DELETE', 'PATCH'),
  path: fc.constantFrom('/', '/v1/x', '/v1/x/y', '/v2/x', '/v1/%78', '/v1/../x', '/v2/x?q=1', '/other'),
  scheme: fc.constantFrom('https', 'http'),
});
const policies = fc.record({
  rules: fc.array(rule, { maxLength: 6 }),
  guardrails: fc.array(rule, { maxLength: 2 }),
  mode: fc.constantFrom('enforce', 'monitor'),
});
type Policy = typeof policies extends fc.Arbitrary<infer T> ? T : never;

function build(policy: Policy): PolicySet {
  const shape = ({ kind, hosts, ...rest }: Rule) => ({ [kind]: hosts, ...rest });
  const group = { version: 1, group: 'g', mode: policy.mode, rules: policy.rules.map(shape) };
  const rails = { version: 1, rules: policy.guardrails.map((one) => shape({ ...one, kind: 'deny' })) };
  const loaded = load({ 'g.yaml': JSON.stringify(group), 'guardrails.yaml': JSON.stringify(rails) });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  return loaded.set;
}

const target = ({ host: name, port }: Ask) => at(`${name}:${port}`);
const decide = (set: PolicySet, ask: Ask): Verdict =>
  decideRequest(set, 'g', target(ask), { scheme: ask.scheme, facts: facts(ask.method, ask.path) });

/** The contract's words once more, as short as they can be put: no cache, no stages. */
function oracle(policy: Policy, ask: Ask): 'pass' | 'refuse' {
  const path = ask.path.replace(/\?.*/, '').replace('%78', 'x');
  const inPath = (text: string) =>
    new RegExp(`^${text.replace('/**', '(/.*)?').replace(/\/\*$/, '/[^/]+')}$`).test(path);
  const fits = ({ kind, hosts, methods, paths, ports }: Rule): boolean => {
    const named = hosts.some((text) => {
      if (text === '*') return kind === 'deny' || ask.host.endsWith('.test');
      return text.startsWith('*.') ? ask.host.endsWith(text.slice(1)) : text === ask.host;
    });
    const implied = kind === 'deny' || ask.port === (ask.scheme === 'https' ? 443 : 80);
    return (
      named &&
      (ports?.includes(ask.port) ?? implied) &&
      (methods?.includes(ask.method) ?? true) &&
      (paths?.some(inPath) ?? true)
    );
  };
  const rails = policy.guardrails.map((one): Rule => ({ ...one, kind: 'deny' }));
  const first = [...rails, ...policy.rules].find(fits);
  return first === undefined || first.kind === 'deny' ? 'refuse' : 'pass';
}

const run = { numRuns: 300 };

describe('decisions', () => {
  it('are those of the first rule that fits in full', () => {
    fc.assert(
      fc.property(policies, fc.array(asks, { minLength: 1, maxLength: 8 }), (policy, list) => {
        const set = build({ ...policy, mode: 'enforce' });
        for (const ask of list.filter(({ path }) => !path.includes('..'))) {
          expect(decide(set, ask).kind === 'deny' ? 'refuse' : 'pass').toBe(oracle(policy, ask));
        }
      }),
      run,
    );
  });

  it('are explained as they are made, in both stages and both modes', () => {
    fc.assert(
      fc.property(policies, asks, (policy, ask) => {
        const set = build(policy);
        const connect = decideConnect(set, 'g', target(ask), ask.scheme === 'http');
        const read = ask.scheme === 'http' || (connect.kind === 'allow' && connect.treat !== 'tunnel');
        const live = read ? decide(set, ask) : connect;
        const told = explain(set, {
          group: 'g',
          at: target(ask),
          scheme: ask.scheme,
          facts: facts(ask.method, ask.path),
        });
        const lifted = live.kind === 'allow' ? live.wouldDeny : undefined;
        const kind = { allow: lifted === undefined ? 'allow' : 'would_deny', ask: 'approve', deny: 'deny' };
        expect(told.verdict).toBe(kind[live.kind]);
        expect(told.reason).toBe(live.kind === 'deny' ? live.reason : (lifted ?? null));
        expect(told.rule).toEqual(live.rule ?? null);
        expect(told.rules.filter(({ matched }) => matched).length).toBeLessThanOrEqual(1);
        expect(told.rules).toHaveLength(policy.rules.length + policy.guardrails.length);
      }),
      run,
    );
  });

  it('open the connection for every request that would pass', () => {
    fc.assert(
      fc.property(policies, asks, (policy, ask) => {
        const set = build(policy);
        if (decide(set, ask).kind === 'deny') return;
        expect(decideConnect(set, 'g', target(ask), ask.scheme === 'http').kind).toBe('allow');
      }),
      run,
    );
  });

  it('are the same the second time, and without the cache', () => {
    fc.assert(
      fc.property(policies, asks, (policy, ask) => {
        const set = build(policy);
        const first = decide(set, ask);
        expect(decide(set, ask)).toEqual(first);
        const bare = new Map(
          [...set.groups].map(([name, { cache, ...group }]) => {
            expect(cache?.size).toBe(1);
            return [name, group];
          }),
        );
        expect(decide({ ...set, groups: bare }, ask)).toEqual(first);
      }),
      run,
    );
  });

  it('do not depend on letter case or a trailing dot of the host', () => {
    fc.assert(
      fc.property(
        policies,
        asks,
        fc.array(fc.boolean(), { minLength: 10, maxLength: 10 }),
        (policy, ask, ups) => {
          const set = build(policy);
          const odd = ask.host
            .split('')
            .map((char, i) => (ups[i % 10] === true ? char.toUpperCase() : char))
            .join('');
          const dotted = /[a-z]$/.test(ask.host) ? `${odd}.` : odd;
          expect(decide(set, { ...ask, host: dotted })).toEqual(decide(set, ask));
          const spelt = policy.rules.map((one) => ({
            ...one,
            hosts: one.hosts.map((text) => text.toUpperCase()),
          }));
          expect(decide(build({ ...policy, rules: spelt }), ask)).toEqual(decide(set, ask));
        },
      ),
      { numRuns: 200 },
    );
  });

  it('in monitor mode pass everything but what a guardrail denies', () => {
    fc.assert(
      fc.property(policies, asks, (policy, ask) => {
        if (policy.rules.length === 0 || ask.path.includes('..')) return;
        const set = build({ ...policy, mode: 'monitor' });
        const barred = oracle(
          { ...policy, rules: [{ kind: 'allow', hosts: [ask.host], ports: [ask.port] }] },
          ask,
        );
        expect(decide(set, ask).kind === 'deny' ? 'refuse' : 'pass').toBe(barred);
      }),
      run,
    );
  });
});
