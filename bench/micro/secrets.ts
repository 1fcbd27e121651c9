/** Search and swap in a rebuilt head, with ten keys bound and as many real values to keep in. */
import { randomBytes } from 'node:crypto';
import type { Place, SecretSpec } from '../../src/policy/model.ts';
import type { Binding, IdentityBindings } from '../../src/secrets/binding.ts';
import { buildLeakIndex } from '../../src/secrets/leaks.ts';
import { makePlaceholder, shapeOf } from '../../src/secrets/placeholder.ts';
import { indexPlaceholders } from '../../src/secrets/placeholder-index.ts';
import { substituteHead } from '../../src/secrets/substitute.ts';
import { SecretValue } from '../../src/secrets/value.ts';
import { isAuthority, parseAuthority } from '../../src/wire/authority.ts';
import type { Piece } from './runner.ts';
import { HEAD } from './wire.ts';

const KEYS = 10;

export function secretPieces(): Piece[] {
  const at = parseAuthority('api.openai.com:443');
  if (!isAuthority(at)) throw new Error('the sample authority was refused');
  const bindings = sampleBindings([{ kind: 'header' }, { kind: 'basic' }]);
  const placeholder = bindings.bindings[0]?.placeholder ?? '';
  const swapped = HEAD.replace('Bearer KEY', `Bearer ${placeholder}`);
  const basic = Buffer.from(`user:${placeholder}`).toString('base64');
  const inBasic = HEAD.replace('Bearer KEY', `Basic ${basic}`);
  const swap = (head: string) => () => substituteHead({ head, bindings, at, secure: true });
  const check = swap(swapped)();
  if (check.kind !== 'ok' || check.used.length !== 1) throw new Error('the sample head was not swapped');
  return [
    { name: `secrets: a head of ${HEAD.length} bytes without placeholders`, run: swap(HEAD), budget: 1.5 },
    { name: 'secrets: one placeholder in a header', run: swap(swapped) },
    { name: 'secrets: one placeholder in Basic', run: swap(inBasic) },
  ];
}

/** An identity with ten keys, and no other. */
export function sampleBindings(places: readonly Place[]): IdentityBindings {
  const keys = Array.from({ length: KEYS }, (_, i) => keyOf(i, places));
  return {
    bindings: keys.map((key) => key.binding),
    known: indexPlaceholders(keys.map((key) => key.binding.placeholder)),
    leaks: buildLeakIndex({ current: keys.map((key) => key.value), revoked: [] }),
  };
}

function keyOf(i: number, places: readonly Place[]): { binding: Binding; value: SecretValue } {
  const text = `sk-${randomBytes(24).toString('hex')}`;
  const value = new SecretValue(`KEY_${i}`, Buffer.from(text));
  const spec: SecretSpec = {
    env: `KEY_${i}`,
    from: { kind: 'env', name: `KEY_${i}`, text: `env:KEY_${i}` },
    hosts: [],
    places,
    profile: 'bench',
    at: { file: 'bench', line: 1, text: 'bench' },
  };
  const placeholder = makePlaceholder(randomBytes(32), shapeOf(text));
  return {
    binding: {
      env: spec.env,
      placeholder,
      spec,
      allows: () => true,
      value: () => value,
      peek: () => value,
      former: () => [],
    },
    value,
  };
}
