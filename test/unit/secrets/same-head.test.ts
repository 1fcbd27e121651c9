/** The search of a head that came before is not repeated where its outcome cannot differ, and never else. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { IdentityBindings } from '../../../src/secrets/binding.ts';
import { buildLeakIndex } from '../../../src/secrets/leaks.ts';
import { indexPlaceholders } from '../../../src/secrets/placeholder-index.ts';
import { SameHead } from '../../../src/secrets/same-head.ts';
import { type SubstituteAsk, substituteHead } from '../../../src/secrets/substitute.ts';
import { SecretValue } from '../../../src/secrets/value.ts';
import { authority, basic, headOf, world } from './world.ts';

const { mine, holder, theirs } = world();
const at = authority('api.openai.com');
const head = headOf([`Authorization: Bearer ${holder('OPENAI_API_KEY')}`]);
const REAL = 'sk-proj-REAL-openai-0123456789abcdef';

/** How often the placeholders of a head were looked for. */
function counted(bindings: IdentityBindings): { bindings: IdentityBindings; searches: () => number } {
  let searches = 0;
  const known = {
    ...bindings.known,
    find: (text: string) => {
      searches += 1;
      return bindings.known.find(text);
    },
  };
  return { bindings: { ...bindings, known }, searches: () => searches };
}

function ask(bindings: IdentityBindings, same: SameHead, more: Partial<SubstituteAsk> = {}): string {
  const done = substituteHead({ head, bindings, at, secure: true, same, ...more });
  return done.kind === 'ok' ? done.head : done.reason;
}

describe('the head of a request that came before', () => {
  it('is not searched again, and gets its key', () => {
    const { bindings, searches } = counted(mine);
    const same = new SameHead();
    const first = ask(bindings, same);
    expect(first).toContain(REAL);
    expect(ask(bindings, same)).toBe(first);
    expect(searches()).toBe(1);
  });

  it('gets the value that its key has now, or none', () => {
    let value: SecretValue | null = new SecretValue('K', Buffer.from('first-value-0123456789'));
    const bindings = { ...mine, bindings: mine.bindings.map((one) => ({ ...one, value: () => value })) };
    const same = new SameHead();
    expect(ask(bindings, same)).toContain('first-value-0123456789');
    value = new SecretValue('K', Buffer.from('second-value-0123456789'));
    expect(ask(bindings, same)).toContain('second-value-0123456789');
    value = null;
    expect(ask(bindings, same)).toBe('secret_unavailable');
    value = new SecretValue('K', Buffer.from('with\nline end, 0123456789'));
    expect(ask(bindings, same)).toBe('secret_unavailable');
    value = new SecretValue('K', Buffer.alloc(300_000, 'x'));
    expect(ask(bindings, same)).toBe('header_too_large');
  });

  it.each<[string, Partial<SubstituteAsk>, string]>([
    ['another host', { at: authority('github.com') }, 'placeholder_wrong_host'],
    ['a connection without TLS', { secure: false }, 'secret_requires_tls'],
  ])('is judged anew for %s', (_, more, reason) => {
    const same = new SameHead();
    ask(mine, same);
    expect(ask(mine, same, more)).toBe(reason);
  });

  it('is searched anew when what is looked for was replaced: values, placeholders, the identity', () => {
    const other = 'x-word: a-word-that-becomes-a-key';
    const text = headOf([other, `Authorization: Bearer ${holder('OPENAI_API_KEY')}`]);
    const now = { ...mine };
    const same = new SameHead();
    expect(ask(now, same, { head: text })).toContain(REAL);
    const word = Buffer.from('a-word-that-becomes-a-key');
    const leaks = buildLeakIndex({ current: [new SecretValue('W', word)], revoked: [] });
    Object.assign(now, { leaks });
    expect(ask(now, same, { head: text })).toBe('secret_leak');
    Object.assign(now, { leaks: mine.leaks });
    expect(ask(now, same, { head: text })).toContain(REAL);
    Object.assign(now, { known: indexPlaceholders([holder('OPENAI_API_KEY'), word.toString()]) });
    expect(ask(now, same, { head: text })).toBe('placeholder_unknown');
    expect(ask({ ...mine, bindings: [] }, same, { head: text })).toBe('placeholder_unknown');
  });

  it('may be any, in any order: the outcome is that of a search', () => {
    const lines = [
      `Authorization: Bearer ${holder('OPENAI_API_KEY')}`,
      `X-Other: ${theirs('OPENAI_API_KEY')}`,
      `X-Two: ${holder('OPENAI_API_KEY')} ${holder('OPENAI_API_KEY')}`,
      `X-Key: ${REAL}`,
      basic(`user:${holder('OPENAI_API_KEY')}`),
      'Accept: */*',
      'X-Stray: SLYPRTQX',
      `X-Coded: ${Buffer.from(holder('OPENAI_API_KEY')).toString('base64')}`,
      `X-Long: ${'a'.repeat(5000)}`,
    ];
    const anyHead = fc.subarray(lines).map((some) => headOf(some));
    fc.assert(
      fc.property(fc.array(anyHead, { minLength: 2, maxLength: 6 }), fc.boolean(), (heads, secure) => {
        const same = new SameHead();
        for (const text of [...heads, ...heads.flatMap((one) => [one, one])]) {
          const plain = { head: text, bindings: mine, at, secure };
          expect(substituteHead({ ...plain, same })).toEqual(substituteHead(plain));
        }
      }),
      { numRuns: 300 },
    );
  });
});
