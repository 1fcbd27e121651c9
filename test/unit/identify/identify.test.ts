import { describe, expect, it } from 'vitest';
import type { Snapshot } from '../../../src/config/snapshot.ts';
import type { Credential } from '../../../src/flow/identity.ts';
import { createIdentifier, type Identifier } from '../../../src/identify/identify.ts';
import type { TokenRecord, TokenStore } from '../../../src/identify/token.ts';
import { fakeSnapshot } from './fake-snapshot.ts';

const NONE: Credential = { kind: 'none' };
const token = (text: string): Credential => ({ kind: 'token', token: text });

/** A store that knows the tokens `good:ID:GROUP`; `dead` takes them away. */
function fakeTokens(): { tokens: TokenStore; dead: Set<string> } {
  const dead = new Set<string>();
  const never = (): never => {
    throw new Error('not called by identify');
  };
  const record = (id: string, group: string): TokenRecord => ({
    id,
    group,
    name: '',
    hash: '',
    created: '',
    expires: null,
    lastUsed: null,
    revoked: null,
  });
  const tokens: TokenStore = {
    create: never,
    list: never,
    revoke: never,
    reload: never,
    subscribe: never,
    close: never,
    verify(text) {
      const [, id, group] = /^good:([^:]*):(.*)$/.exec(text) ?? [];
      return id === undefined || group === undefined || dead.has(id) ? null : record(id, group);
    },
    alive: (id) => !dead.has(id),
    valid: never,
  };
  return { tokens, dead };
}

const snapshot = fakeSnapshot([
  { name: 'agents', sources: ['10.0.0.0/8', 'fd00:1::/32'], token: 'optional' },
  { name: 'inner', sources: ['10.1.0.0/16'], token: 'optional' },
  { name: 'strict', sources: ['10.2.0.0/16', '10.9.9.9'], token: 'required' },
  { name: 'anywhere', sources: [], token: 'required' },
]);

function identifier(): Identifier & { dead: Set<string> } {
  const { tokens, dead } = fakeTokens();
  return { ...createIdentifier({ tokens }), dead };
}

const ask = (address: string, credential: Credential, at: Snapshot = snapshot): unknown =>
  identifier().identify({ address, credential }, at);

const REQUIRED: unknown = expect.objectContaining({ kind: 'deny', reason: 'auth_required' });
const INVALID: unknown = expect.objectContaining({ kind: 'deny', reason: 'auth_invalid' });

describe('a client without credentials', () => {
  it.each([
    ['an address of the group', '10.7.0.1', 'agents'],
    ['the longest prefix', '10.1.2.3', 'inner'],
    ['an IPv4 address on a dual-stack listener', '::ffff:10.7.0.1', 'agents'],
    ['the same in capitals', '::FFFF:10.7.0.1', 'agents'],
    ['an IPv6 address', 'fd00:1::5', 'agents'],
    ['an IPv6 address with its zone', 'fd00:1::5%eth0', 'agents'],
  ])('is identified by %s', (_what, address, group) => {
    expect(ask(address, NONE)).toEqual({ id: `group:${group}`, group, proof: 'source' });
  });

  it.each([
    ['an address of no group', '192.0.2.1'],
    ['a group that needs a token', '10.2.0.1'],
    ['an address that is none', 'unknown'],
    ['no address at all', ''],
    ['a mapped address that is none', '::ffff:10.7.0'],
  ])('must authenticate at %s', (_what, address) => {
    expect(ask(address, NONE)).toEqual(REQUIRED);
  });

  it('is told nothing of any group', () => {
    expect(JSON.stringify(ask('10.2.0.1', NONE))).not.toMatch(/strict|10\.2/);
    expect(ask('10.2.0.1', NONE)).toEqual(ask('192.0.2.1', NONE));
  });
});

describe('a client with a token', () => {
  it.each([
    ['its group without sources, anywhere', '192.0.2.1', 'anywhere'],
    ['its group from one of its sources', '10.7.0.1', 'agents'],
    ['its group where another group has the longer prefix', '10.1.2.3', 'agents'],
    ['its group from an IPv6 source', 'fd00:1::9', 'agents'],
    ['its group from a mapped address', '::ffff:10.2.3.4', 'strict'],
    ['its group from a single address', '10.9.9.9', 'strict'],
    ['another group than the address would', '10.1.2.3', 'anywhere'],
  ])('is of %s', (_what, address, group) => {
    expect(ask(address, token(`good:tok_1:${group}`))).toEqual({ id: 'tok_1', group, proof: 'token' });
  });

  it.each([
    ['an unknown token', '10.7.0.1', token('bad')],
    ['an empty token', '10.7.0.1', token('')],
    ['a malformed credential at an address that would do alone', '10.7.0.1', { kind: 'malformed' as const }],
    ['a token outside the sources of its group', '192.0.2.1', token('good:tok_1:agents')],
    ['a token beside the single address', '10.9.9.8', token('good:tok_1:strict')],
    ['a token of a group that is gone', '10.7.0.1', token('good:tok_1:gone')],
    ['a token of a group with sources, from no address', '', token('good:tok_1:agents')],
    ['a token of a group called like a built-in', '10.7.0.1', token('good:tok_1:__proto__')],
  ])('is refused with %s', (_what, address, credential) => {
    expect(ask(address, credential)).toEqual(INVALID);
  });

  it('is refused alike whatever is wrong', () => {
    expect(ask('192.0.2.1', token('good:tok_1:agents'))).toEqual(ask('10.7.0.1', token('bad')));
  });
});

describe('an identity in use', () => {
  it('by token goes on until the token is dead', () => {
    const one = identifier();
    const identity = { id: 'tok_1', group: 'anywhere', proof: 'token' as const };
    expect(one.stillValid(identity, '192.0.2.1', snapshot)).toBeNull();
    one.dead.add('tok_1');
    expect(one.stillValid(identity, '192.0.2.1', snapshot)).toEqual(INVALID);
  });

  it('by token ends when a new policy drops the group or moves its sources', () => {
    const one = identifier();
    const identity = { id: 'tok_1', group: 'agents', proof: 'token' as const };
    expect(one.stillValid(identity, '10.7.0.1', snapshot)).toBeNull();
    expect(one.stillValid(identity, '10.7.0.1', fakeSnapshot([]))).toEqual(INVALID);
    const moved = fakeSnapshot([{ name: 'agents', sources: ['10.8.0.0/16'], token: 'optional' }]);
    expect(one.stillValid(identity, '10.7.0.1', moved)).toEqual(INVALID);
    expect(one.stillValid(identity, '10.8.0.1', moved)).toBeNull();
  });

  it('by address ends when a new policy gives the address to another group, to none, or asks for a token', () => {
    const one = identifier();
    const identity = { id: 'group:agents', group: 'agents', proof: 'source' as const };
    const to = (name: string, wants: 'optional' | 'required'): Snapshot =>
      fakeSnapshot([{ name, sources: ['10.0.0.0/8'], token: wants }]);
    expect(one.stillValid(identity, '10.7.0.1', snapshot)).toBeNull();
    expect(one.stillValid(identity, '10.7.0.1', to('agents', 'optional'))).toBeNull();
    expect(one.stillValid(identity, '10.7.0.1', to('other', 'optional'))).toEqual(REQUIRED);
    expect(one.stillValid(identity, '10.7.0.1', to('agents', 'required'))).toEqual(REQUIRED);
    expect(one.stillValid(identity, '10.7.0.1', fakeSnapshot([]))).toEqual(REQUIRED);
  });

  it('is judged right for more addresses than are remembered', () => {
    const one = identifier();
    const identity = { id: 'tok_1', group: 'agents', proof: 'token' as const };
    for (let n = 0; n < 10_000; n++) {
      const last = `${(n >> 8) & 255}.${n & 255}`;
      expect(one.stillValid(identity, `10.7.${last}`, snapshot)).toBeNull();
      expect(one.stillValid(identity, `11.7.${last}`, snapshot)).toEqual(INVALID);
    }
  });
});
