import { describe, expect, it } from 'vitest';
import { explain } from '../../../src/policy/explain.ts';
import { at, facts, group, rules, setOf } from './policy-folder.ts';

describe('explain', () => {
  const set = setOf({
    'g.yaml': [
      'version: 1',
      'group: g',
      'profile: p',
      'rules:',
      '  - allow: "*.a.test"',
      '  - allow: b.test:8443',
      '  - allow: api.test',
      '    methods: [GET]',
      '  - allow: api.test',
      '    paths: [/v2/**]',
      '  - deny: "*"',
    ].join('\n'),
    'profiles/p.yaml': 'version: 1\nprofile: p\nsecrets: [{ env: KEY, from: "env:K", hosts: [api.test] }]\n',
    'guardrails.yaml': 'version: 1\nrules: [{ deny: bad.test }]\n',
  });
  const ask = (method: string, target: string, path = '/') =>
    explain(set, { group: 'g', at: at(target), scheme: 'https', facts: facts(method, path) });

  it('names the rule that decides, why the others do not, what is read and which keys are swapped', () => {
    expect(ask('POST', 'api.test:443', '/v2/x')).toEqual({
      verdict: 'allow',
      reason: null,
      detail: null,
      stage: 'request',
      rule: { file: 'policies/g.yaml', line: 9, text: 'allow api.test' },
      treat: 'intercept',
      keys: ['KEY'],
      aws: [],
      told: null,
      limits: {},
      rules: [
        {
          file: 'policies/guardrails.yaml',
          line: 2,
          text: 'deny bad.test',
          guardrail: true,
          matched: false,
          why: 'host does not match',
        },
        {
          file: 'policies/g.yaml',
          line: 5,
          text: 'allow *.a.test',
          guardrail: false,
          matched: false,
          why: 'host does not match',
        },
        {
          file: 'policies/g.yaml',
          line: 6,
          text: 'allow b.test:8443',
          guardrail: false,
          matched: false,
          why: 'host does not match',
        },
        {
          file: 'policies/g.yaml',
          line: 7,
          text: 'allow api.test',
          guardrail: false,
          matched: false,
          why: 'method POST is not one of this rule',
        },
        {
          file: 'policies/g.yaml',
          line: 9,
          text: 'allow api.test',
          guardrail: false,
          matched: true,
          why: 'decides',
        },
        {
          file: 'policies/g.yaml',
          line: 11,
          text: 'deny *',
          guardrail: false,
          matched: false,
          why: 'not reached: an earlier rule decided',
        },
      ],
    });
  });

  it('says that a wildcard does not cover its own apex, and that a port is missing', () => {
    expect(ask('GET', 'a.test:443').rules[1]).toMatchObject({ why: '*.a.test does not cover a.test itself' });
    expect(ask('GET', 'b.test:443')).toMatchObject({ verdict: 'deny', reason: 'port_not_allowed' });
    expect(ask('GET', 'b.test:443').rules[2]).toMatchObject({ why: 'port 443 is not one of this rule' });
  });

  it('stops at the CONNECT where requests are not read', () => {
    expect(ask('DELETE', 'x.a.test:443')).toMatchObject({
      stage: 'connect',
      verdict: 'allow',
      treat: 'tunnel',
      keys: [],
    });
    expect(ask('GET', 'bad.test:443')).toMatchObject({
      stage: 'connect',
      verdict: 'deny',
      reason: 'rule_denied',
    });
  });

  it('says how a refusal is told, and what the group may use up', () => {
    const limits = '{ connections: 8, requests: 600/m, upload: 1GiB/d, download: 20GB/h }';
    const inside = group('refuse: inside', `limits: ${limits}`, 'rules: [{ allow: a.test, methods: [GET] }]');
    const about = (target: string, scheme: 'https' | 'http' = 'https', method = 'GET') =>
      explain(inside, { group: 'g', at: at(target), scheme, facts: facts(method, '/') });
    expect(about('b.test:443')).toMatchObject({
      told: 'inside',
      limits: { connections: '8', requests: '600/m', upload: '1GiB/d', download: '20GB/h' },
    });
    expect(about('b.test:8443').told).toBe('on_connect');
    expect(about('b.test:80', 'http').told).toBeNull();
    expect(about('a.test:443').told).toBeNull();
    expect(about('a.test:443', 'https', 'POST')).toMatchObject({ verdict: 'deny', told: null });
    expect(ask('GET', 'bad.test:443')).toMatchObject({ told: 'on_connect', limits: {} });
  });

  it('tells held and would-be-refused requests from allowed ones', () => {
    const held = rules('{ approve: a.test }');
    const of = { group: 'g', at: at('a.test:443'), scheme: 'https', facts: facts('GET', '/') } as const;
    expect(explain(held, of)).toMatchObject({ verdict: 'approve', treat: 'intercept' });
    const monitored = setOf({
      'g.yaml': 'version: 1\ngroup: g\nmode: monitor\nrules: [{ allow: b.test }]\n',
    });
    expect(explain(monitored, of)).toMatchObject({ verdict: 'would_deny', reason: 'host_not_allowed' });
    expect(explain(monitored, { ...of, group: 'none' })).toMatchObject({
      verdict: 'deny',
      rules: [],
      rule: null,
    });
  });
});
