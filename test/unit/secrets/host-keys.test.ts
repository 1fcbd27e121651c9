/** What must not come back from one host: the values of now and before, and no copies of any others. */
import { expect, it } from 'vitest';
import type { Binding, IdentityBindings } from '../../../src/secrets/binding.ts';
import { HostKeys } from '../../../src/secrets/host-keys.ts';
import { PatternSet } from '../../../src/secrets/patterns.ts';
import { scrubFields, scrubPatterns } from '../../../src/secrets/scrub.ts';
import { SecretValue } from '../../../src/secrets/value.ts';
import { world } from './world.ts';

it('what a value was looked for by is wiped once it is not looked for any more', () => {
  const { mine } = world();
  const [first] = mine.bindings;
  if (first === undefined) throw new Error('no binding');
  let value: SecretValue | null = new SecretValue('KEY', Buffer.from('first-value-0123456789'));
  let { leaks } = mine;
  const binding: Binding = { ...first, peek: () => value, former: () => [] };
  const identity: IdentityBindings = {
    ...mine,
    get leaks() {
      return leaks;
    },
  };
  const keys = new HostKeys([binding], identity);
  const before = keys.scrubSet();
  expect(before.has('a first-value-0123456789 b')).toBe(true);
  expect(keys.scrubSet()).toBe(before);
  value = new SecretValue('KEY', Buffer.from('other-value-0123456789'));
  ({ leaks } = world().mine);
  expect(keys.scrubSet().has('a other-value-0123456789 b')).toBe(true);
  expect(before.has('a first-value-0123456789 b')).toBe(false);
});

it('a thousand keys of one host are looked for as one is, and made ready without a long pause', () => {
  const keys = Array.from({ length: 1_000 }, (_none, at) => {
    const value = `sk-proj-${String(at).padStart(4, '0')}${'abcdefghijklmnopqrstuvwxyz'.repeat(2)}`;
    return { env: `K${at}`, placeholder: `<${at}>`, value: new SecretValue(`K${at}`, Buffer.from(value)) };
  });
  const began = performance.now();
  const set = new PatternSet(keys.flatMap((key) => scrubPatterns(key)));
  // Comparing each with all others took twenty seconds.
  expect(performance.now() - began).toBeLessThan(8_000);
  const said = keys.map(({ value }) => value.expose().toString()).join('\n');
  expect(scrubFields(said, set, () => {})).toBe(keys.map(({ placeholder }) => placeholder).join('\n'));
});
