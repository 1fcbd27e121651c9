import { describe, expect, it } from 'vitest';
import type { Target } from '../../../src/flow/target.ts';
import { RebuiltHead } from '../../../src/intercept/rebuilt-head.ts';
import { isAuthority, parseAuthority } from '../../../src/wire/authority.ts';
import { parseRequestHead } from '../../../src/wire/http1-parse.ts';

const read = (text: string) => {
  const head = parseRequestHead(text);
  if ('kind' in head) throw new Error(head.reason);
  return head;
};
const head = read('GET /a HTTP/1.1\r\nHost: api.test');
const at = parseAuthority('api.test:443');
if (!isAuthority(at)) throw new Error('no authority');
const target: Target = { ...at, via: 'connect' };
const of = { head, path: '/a', target, secure: true, dropOverrides: false, scrubs: true };

describe('a head that was written before', () => {
  it('is taken again for the same request', () => {
    const memory = new RebuiltHead();
    expect(memory.find(of)).toBeNull();
    memory.keep(of, 'text');
    expect(memory.find({ ...of })).toBe('text');
  });

  it.each([
    ['another head, be it of the same text', { head: read('GET /a HTTP/1.1\r\nHost: api.test') }],
    ['another path', { path: '/b' }],
    ['another target', { target: { ...target } }],
    ['no TLS', { secure: false }],
    ['a rule that judges requests now', { dropOverrides: true }],
    ['a key that is bound to the host no more', { scrubs: false }],
  ])('is not taken for %s', (_what, other) => {
    const memory = new RebuiltHead();
    memory.keep(of, 'text');
    expect(memory.find({ ...of, ...other })).toBeNull();
  });

  it('is not kept where it is long', () => {
    const memory = new RebuiltHead();
    memory.keep(of, 'x'.repeat(4097));
    expect(memory.find(of)).toBeNull();
  });
});
