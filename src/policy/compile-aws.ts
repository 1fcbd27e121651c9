/**
 * An AWS key set of a profile becomes two or three SecretSpecs that belong together: the variables that every AWS SDK
 * reads. Called by `compile-profile.ts`; what signs with them is `sigv4/`.
 */
import { compileHosts, type FilePath, type Reporter } from './compile-rule.ts';
import type { AwsSet, PlaceholderShape, SecretSpec, SourceRef } from './model.ts';
import type { AwsSetFile } from './schema-profile.ts';

type Role = NonNullable<SecretSpec['aws']>['role'];

/**
 * The shapes that AWS gives. The id is a name that AWS and its error messages show, so 20 characters are enough: guessing
 * one is worth nothing without the secret, which never travels.
 */
const ID_LENGTH = 20;
const ID_BITS = 80;
const SECRET_LENGTH = 40;
const TOKEN_LENGTH = 256;
/** How session tokens begin: a constant in base64. */
const TOKEN_PREFIX = 'IQoJb3JpZ2luX2Vj';

export function compileAwsSet(
  set: AwsSetFile,
  how: {
    readonly profile: string;
    readonly path: FilePath;
    readonly to: Reporter;
    readonly source: (of: { from: string; env: string }, path: FilePath, to: Reporter) => SourceRef;
  },
): readonly SecretSpec[] {
  const { profile, path, to, source } = how;
  const hosts = compileHosts({ written: set.hosts, path: [...path, 'hosts'], to });
  set.hosts.forEach((text, at) => {
    if (!/^\*(?::|$)/.test(text.trim())) return;
    to.problem(
      [...path, 'hosts', at],
      'a key set cannot be bound to every host',
      'name the endpoints of this set',
    );
  });
  const { line } = to.locate(path);
  const about: AwsSet = { regions: set.regions ?? null, services: set.services ?? null };
  const member = (role: Role, name: string, text: string, key: string): SecretSpec => {
    const env = (set.prefix ?? '') + name;
    return {
      env,
      from: source({ from: text, env }, [...path, key], to),
      hosts,
      places: [],
      placeholder: shapeOf(role, set.session_token !== undefined),
      aws: { role, set: about },
      profile,
      at: { file: to.file, line, text: `key ${env}` },
    };
  };
  const members = [
    member('id', 'AWS_ACCESS_KEY_ID', set.access_key_id, 'access_key_id'),
    member('secret', 'AWS_SECRET_ACCESS_KEY', set.secret_access_key, 'secret_access_key'),
  ];
  if (set.session_token === undefined) return members;
  return [...members, member('token', 'AWS_SESSION_TOKEN', set.session_token, 'session_token')];
}

/** Keys of a session begin with ASIA, others with AKIA. */
function shapeOf(role: Role, session: boolean): PlaceholderShape {
  switch (role) {
    case 'id':
      return { prefix: session ? 'ASIA' : 'AKIA', length: ID_LENGTH, alphabet: 'base32', bits: ID_BITS };
    case 'secret':
      return { prefix: '', length: SECRET_LENGTH, alphabet: 'base62' };
    case 'token':
      return { prefix: TOKEN_PREFIX, length: TOKEN_LENGTH, alphabet: 'base62' };
  }
}

/** What a group may use of a profile: a set of which a part is excluded is excluded. */
export function withoutExcluded(
  secrets: readonly SecretSpec[],
  excluded: readonly string[],
): readonly SecretSpec[] {
  const gone = secrets.filter(({ env }) => excluded.includes(env));
  return secrets.filter(
    (secret) =>
      !gone.some(({ env, aws }) => env === secret.env || (aws !== undefined && aws.set === secret.aws?.set)),
  );
}
