import { describe, expect, it } from 'vitest';
import type { Verdict } from '../../../src/flow/verdict.ts';
import { decideConnect, decideRequest, hostLabel } from '../../../src/policy/decide.ts';
import type { PolicySet } from '../../../src/policy/model.ts';
import { at, facts, group, rules, setOf } from './policy-folder.ts';

const connect = (set: PolicySet, target: string, plain?: boolean): Verdict =>
  decideConnect(set, 'g', at(target), plain);

function request(set: PolicySet, method: string, url: string): Verdict {
  const [, scheme, authority = '', path = ''] = /^(https?):\/\/([^/]*)(.*)$/.exec(url) ?? [];
  const kind = scheme === 'http' ? 'http' : 'https';
  const target = at(authority.includes(':') ? authority : `${authority}:${kind === 'http' ? 80 : 443}`);
  return decideRequest(set, 'g', target, { scheme: kind, facts: facts(method, path) });
}

describe('a CONNECT', () => {
  it('opens where a rule names host and port, and is refused by name of what is missing otherwise', () => {
    const set = rules('{ allow: a.test }', '{ allow: b.test:8443 }', '{ allow: c.test, ports: [443, 9443] }');
    expect(connect(set, 'a.test:443')).toMatchObject({ kind: 'allow', treat: 'tunnel', protocol: 'tls' });
    expect(connect(set, 'a.test:8443')).toMatchObject({ kind: 'deny', reason: 'port_not_allowed' });
    expect(connect(set, 'b.test:8443')).toMatchObject({ kind: 'allow', protocol: 'any' });
    expect(connect(set, 'b.test:443')).toMatchObject({ reason: 'port_not_allowed' });
    expect(connect(set, 'c.test:9443')).toMatchObject({ kind: 'allow' });
    expect(connect(set, 'd.test:443')).toMatchObject({
      reason: 'host_not_allowed',
      detail: 'No rule of this group allows d.test:443.',
    });
  });

  it('to the implied port 80 is plain HTTP', () => {
    const set = rules('{ allow: a.test }', '{ allow: b.test:80, protocol: any }');
    expect(connect(set, 'a.test:80')).toMatchObject({ kind: 'allow', treat: 'plain' });
    expect(connect(set, 'b.test:80')).toMatchObject({ kind: 'allow', treat: 'tunnel', protocol: 'any' });
    expect(connect(set, 'a.test:443', true)).toMatchObject({ reason: 'port_not_allowed' });
    expect(connect(set, 'a.test:80', true)).toMatchObject({ kind: 'allow', treat: 'plain' });
  });

  it('is not closed by a deny that judges requests', () => {
    const set = rules('{ deny: a.test, methods: [DELETE] }', '{ allow: a.test }');
    expect(connect(set, 'a.test:443')).toMatchObject({
      kind: 'allow',
      treat: 'intercept',
      judgesRequests: true,
    });
    expect(request(set, 'DELETE', 'https://a.test/')).toMatchObject({ reason: 'rule_denied' });
    expect(request(set, 'GET', 'https://a.test/')).toMatchObject({ kind: 'allow' });
  });

  it('opens if any rule could allow a request, with every range that one of them opens', () => {
    const set = rules(
      '{ allow: a.test, methods: [GET], addresses: [10.1.0.0/16] }',
      '{ allow: a.test, methods: [POST], addresses: [10.2.0.0/16] }',
    );
    expect(connect(set, 'a.test:443')).toMatchObject({ addresses: ['10.1.0.0/16', '10.2.0.0/16'] });
    expect(request(set, 'POST', 'https://a.test/')).toMatchObject({ addresses: ['10.2.0.0/16'] });
  });

  it('is decided by the first match', () => {
    expect(connect(rules('{ deny: a.test, reason: No. }', '{ allow: a.test }'), 'a.test:443')).toMatchObject({
      reason: 'rule_denied',
      detail: 'No.',
      rule: { file: 'policies/g.yaml', line: 4, text: 'deny a.test' },
    });
    expect(connect(rules('{ allow: a.test }', '{ deny: a.test }'), 'a.test:443')).toMatchObject({
      kind: 'allow',
    });
  });

  it('is never held for a person: requests are', () => {
    const set = rules('{ approve: a.test, methods: [POST], wait: 2m, remember: 10m }', '{ allow: a.test }');
    expect(connect(set, 'a.test:443')).toMatchObject({ kind: 'allow', treat: 'intercept' });
    expect(request(set, 'POST', 'https://a.test/x')).toMatchObject({
      kind: 'ask',
      waitMs: 120_000,
      rememberMs: 600_000,
      // biome-ignore lint/suspicious/noThenProperty: the shape of an Ask
      then: { kind: 'allow', treat: 'intercept' },
    });
    expect(request(set, 'GET', 'https://a.test/x')).toMatchObject({ kind: 'allow' });
  });

  it('of an unknown group, or of one without rules, is refused', () => {
    expect(decideConnect(rules('{ allow: a.test }'), 'other', at('a.test:443'))).toMatchObject({
      kind: 'deny',
    });
    expect(connect(group('mode: monitor'), 'a.test:443')).toMatchObject({ reason: 'host_not_allowed' });
  });
});

describe('a deny', () => {
  it('without a port covers every port, so that a guardrail cannot be walked around', () => {
    const set = setOf({
      'g.yaml': 'version: 1\ngroup: g\nrules: [{ allow: "*", ports: [443, 8443] }]\n',
      'guardrails.yaml': 'version: 1\nrules: [{ deny: pastebin.test, reason: Closed. }]\n',
    });
    expect(connect(set, 'pastebin.test:8443')).toMatchObject({ reason: 'rule_denied', detail: 'Closed.' });
    expect(connect(set, 'other.test:8443')).toMatchObject({ kind: 'allow' });
  });

  it('of "*" at the end keeps the nearest reason and adds its own words', () => {
    const set = rules(
      '{ allow: a.test, methods: [GET], paths: [/v1/**] }',
      '{ deny: "*", reason: Ask the platform team for access. }',
    );
    const words = 'Ask the platform team for access.';
    expect(connect(set, 'evil.example:443')).toMatchObject({
      reason: 'host_not_allowed',
      detail: `No rule of this group allows evil.example:443. ${words}`,
      rule: { text: 'deny *' },
    });
    expect(connect(set, 'a.test:8443')).toMatchObject({ reason: 'port_not_allowed' });
    expect(connect(set, '10.0.0.1:443')).toMatchObject({
      reason: 'host_not_allowed',
      rule: { text: 'deny *' },
    });
    expect(request(set, 'POST', 'https://a.test/v1/x')).toMatchObject({ reason: 'method_not_allowed' });
    expect(request(set, 'GET', 'https://a.test/v2/x')).toMatchObject({
      reason: 'path_not_allowed',
      detail: `No rule of this group allows this path of a.test:443. ${words}`,
    });
  });
});

describe('a request', () => {
  const set = rules(
    '{ allow: a.test, methods: [GET], paths: [/v1/**] }',
    '{ allow: a.test, methods: [POST], paths: [/v2/**] }',
    '{ allow: b.test }',
  );

  it.each([
    ['GET', 'https://a.test/v1/x', 'allow'],
    ['POST', 'https://a.test/v2/x', 'allow'],
    ['POST', 'https://a.test/v1/x', 'path_not_allowed'],
    ['DELETE', 'https://a.test/v1/x', 'method_not_allowed'],
    ['get', 'https://a.test/v1/x', 'method_not_allowed'],
    ['GET', 'https://a.test:8443/v1/x', 'port_not_allowed'],
    ['GET', 'https://c.test/v1/x', 'host_not_allowed'],
    ['GET', 'https://a.test/v1/../v2', 'ambiguous_path'],
    ['GET', 'https://b.test/v1/../v2', 'allow'],
    ['DELETE', 'https://b.test/anything//%zz', 'allow'],
    ['GET', 'http://b.test/', 'allow'],
    ['GET', 'http://b.test:443/', 'port_not_allowed'],
    ['GET', 'https://b.test:80/', 'port_not_allowed'],
  ])('%s %s: %s', (method, url, expected) => {
    const verdict = request(set, method, url);
    expect(verdict.kind === 'deny' ? verdict.reason : verdict.kind).toBe(expected);
  });

  it('in plain HTTP is carried plain, whatever judges it', () => {
    expect(request(set, 'GET', 'http://a.test/v1/x')).toMatchObject({ kind: 'allow', treat: 'plain' });
  });

  it('is judged by guardrails first, requests too', () => {
    const guarded = setOf({
      'g.yaml': 'version: 1\ngroup: g\nrules: [{ allow: a.test }]\n',
      'guardrails.yaml': 'version: 1\nrules: [{ deny: "*.test", methods: [DELETE] }]\n',
    });
    expect(connect(guarded, 'a.test:443')).toMatchObject({ treat: 'intercept', judgesRequests: true });
    expect(request(guarded, 'DELETE', 'https://a.test/')).toMatchObject({
      reason: 'rule_denied',
      detail: 'A guardrail denies a.test:443.',
    });
  });
});

describe('how a host is carried', () => {
  const files = {
    'profiles/p.yaml':
      'version: 1\nprofile: p\nsecrets: [{ env: KEY, from: "vault:key", hosts: [a.test, b.test] }, { env: OTHER, from: "vault:o", hosts: [c.test] }]\n',
  };
  it('is intercepted where a usable key is bound to it, and tunnelled where the key is excluded', () => {
    const policy =
      'version: 1\ngroup: g\nprofile: p\nexclude: [OTHER]\nrules: [{ allow: [a.test, b.test, c.test] }]\n';
    const set = setOf({ ...files, 'g.yaml': policy });
    expect(connect(set, 'a.test:443')).toMatchObject({ treat: 'intercept', judgesRequests: false });
    expect(connect(set, 'c.test:443')).toMatchObject({ treat: 'tunnel' });
    expect(set.groups.get('g')).toMatchObject({
      secretTotal: 2,
      excluded: ['OTHER'],
      secrets: [{ env: 'KEY' }],
    });
  });

  it('does not look at rules behind the one that decides without looking at the request', () => {
    const set = rules('{ allow: pinned.test, tls: tunnel }', '{ allow: "*", methods: [GET] }');
    expect(connect(set, 'pinned.test:443')).toMatchObject({ treat: 'tunnel' });
    expect(connect(set, 'other.test:443')).toMatchObject({ treat: 'intercept' });
  });

  it('keeps the idle limit, ranges and protocol of its rule', () => {
    const set = rules(
      '{ allow: a.test, idle: 90s, protocol: any, addresses: [10.0.0.0/8] }',
      '{ allow: b.test }',
    );
    expect(connect(set, 'a.test:443')).toMatchObject({
      idleMs: 90_000,
      protocol: 'any',
      addresses: ['10.0.0.0/8'],
    });
    expect(connect(set, 'b.test:443')).toMatchObject({ idleMs: 600_000, protocol: 'tls', addresses: [] });
  });
});

describe('monitor mode', () => {
  const rails = 'version: 1\nrules: [{ deny: never.test }, { deny: half.test, paths: [/admin/**] }]\n';
  const policy =
    'version: 1\ngroup: g\nmode: monitor\nrules: [{ allow: a.test, methods: [GET], paths: [/v1/**] }, { deny: b.test }]\n';
  const set = setOf({ 'g.yaml': policy, 'guardrails.yaml': rails });

  it.each([
    ['evil.test:443', 'host_not_allowed'],
    ['a.test:8443', 'port_not_allowed'],
    ['b.test:443', 'rule_denied'],
  ])('lets a CONNECT to %s through as a tunnel and says %s', (target, reason) => {
    expect(connect(set, target)).toMatchObject({
      kind: 'allow',
      treat: 'tunnel',
      wouldDeny: reason,
      addresses: [],
    });
  });

  it('does not read what is let through only because of the mode', () => {
    const policyOf = setOf({
      'g.yaml': 'version: 1\ngroup: g\nmode: monitor\nrules: [{ deny: a.test, methods: [POST] }]\n',
    });
    expect(connect(policyOf, 'a.test:443')).toMatchObject({ treat: 'tunnel', wouldDeny: 'host_not_allowed' });
  });

  it('lets requests through and says what enforce mode would have said', () => {
    expect(request(set, 'POST', 'https://a.test/v1/x')).toMatchObject({ wouldDeny: 'method_not_allowed' });
    expect(request(set, 'GET', 'https://a.test/v1/../x')).toMatchObject({ wouldDeny: 'ambiguous_path' });
    expect(request(set, 'GET', 'https://a.test/v1/x')).not.toHaveProperty('wouldDeny');
    expect(request(set, 'GET', 'http://evil.test/')).toMatchObject({
      treat: 'plain',
      wouldDeny: 'host_not_allowed',
    });
  });

  it('never lifts a guardrail, and reads the requests that one judges', () => {
    expect(connect(set, 'never.test:443')).toMatchObject({ kind: 'deny', reason: 'rule_denied' });
    expect(connect(set, 'half.test:443')).toMatchObject({
      treat: 'intercept',
      wouldDeny: 'host_not_allowed',
    });
    expect(request(set, 'GET', 'https://half.test/admin/x')).toMatchObject({
      kind: 'deny',
      reason: 'rule_denied',
    });
    expect(request(set, 'GET', 'https://half.test/%61dmin/x')).toMatchObject({ kind: 'deny' });
    expect(request(set, 'GET', 'https://half.test/x/../admin')).toMatchObject({
      reason: 'ambiguous_path',
      kind: 'deny',
    });
  });
});

describe('the host label', () => {
  it('is the pattern of the rule that opens the host', () => {
    const set = rules('{ allow: "*.a.test" }', '{ allow: b.test:8443 }', '{ deny: c.test }');
    expect(hostLabel(set, 'g', at('x.y.a.test:443'))).toBe('*.a.test');
    expect(hostLabel(set, 'g', at('b.test:8443'))).toBe('b.test:8443');
    expect(hostLabel(set, 'g', at('c.test:443'))).toBeNull();
    expect(hostLabel(set, 'none', at('b.test:8443'))).toBeNull();
  });
});

describe('the cache', () => {
  it('holds a bounded number of hosts and answers as without it', () => {
    const set = rules('{ allow: "*", methods: [GET] }');
    for (let i = 0; i < 5000; i += 1) connect(set, `h${i}.test:443`);
    for (let port = 1; port < 500; port += 1) connect(set, `h4999.test:${port}`);
    expect(set.groups.get('g')?.cache?.get('h4999.test')?.length).toBe(8);
    expect(set.groups.get('g')?.cache?.size).toBeLessThanOrEqual(2048);
    expect(connect(set, 'h1.test:443')).toMatchObject({ kind: 'allow', treat: 'intercept' });
  });
});
