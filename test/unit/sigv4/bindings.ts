/** An AWS key set as `vault/bindings.ts` would give it. */

import type { AwsSet } from '../../../src/policy/model.ts';
import type { Binding } from '../../../src/secrets/binding.ts';
import { type KeySet, keySetsOf } from '../../../src/secrets/key-set.ts';
import { SecretValue } from '../../../src/secrets/value.ts';
import type { Credentials } from '../../helpers/sigv4.ts';

export function keySet(
  placeholders: Credentials,
  real: Credentials,
  set: AwsSet = { regions: null, services: null },
): readonly KeySet[] {
  const member = (role: 'id' | 'secret' | 'token', placeholder: string, value: string): Binding => ({
    env: `AWS_${role.toUpperCase()}`,
    placeholder,
    spec: {
      env: `AWS_${role.toUpperCase()}`,
      from: { kind: 'env', name: role, text: `env:${role}` },
      hosts: [],
      places: [],
      aws: { role, set },
      profile: 'p',
      at: { file: 'p.yaml', line: 1, text: 'key' },
    },
    allows: () => true,
    value: () => (value === '' ? null : new SecretValue(role, Buffer.from(value))),
    peek: () => null,
    former: () => [],
  });
  const token =
    placeholders.token === undefined ? [] : [member('token', placeholders.token, real.token ?? '')];
  return keySetsOf([
    member('id', placeholders.id, real.id),
    member('secret', placeholders.secret, real.secret),
    ...token,
  ]);
}
