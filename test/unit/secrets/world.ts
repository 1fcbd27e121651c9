/** Two identities with keys of several shapes, as `substituteHead` gets them. */
import { createHash } from 'node:crypto';
import type { Authority, Host } from '../../../src/flow/target.ts';
import type { Place, SecretSpec } from '../../../src/policy/model.ts';
import type { Binding, IdentityBindings } from '../../../src/secrets/binding.ts';
import { buildLeakIndex } from '../../../src/secrets/leaks.ts';
import { ALPHABETS, makePlaceholder, type Shape } from '../../../src/secrets/placeholder.ts';
import { indexPlaceholders } from '../../../src/secrets/placeholder-index.ts';
import type { RevokedDigest } from '../../../src/secrets/revoked.ts';
import { type Substituted, substituteHead } from '../../../src/secrets/substitute.ts';
import { SecretValue } from '../../../src/secrets/value.ts';

export function seed(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

export function authority(host: string, port = 443): Authority {
  return { host: host as Host, kind: 'name', port };
}

export const SHAPES = {
  openai: { prefix: 'sk-proj-', length: 56, alphabet: ALPHABETS.base62 },
  github: { prefix: 'ghp_', length: 40, alphabet: ALPHABETS.base62 },
  telegram: { prefix: '123456789:', length: 45, alphabet: ALPHABETS.base64url },
  twilio: { prefix: 'AC', length: 34, alphabet: ALPHABETS.hex },
} as const satisfies Record<string, Shape>;

export const HEADER_AND_BASIC: readonly Place[] = [{ kind: 'header' }, { kind: 'basic' }];

export type Key = {
  readonly env: string;
  readonly shape: Shape;
  readonly host: string;
  readonly places: readonly Place[];
  readonly value: Buffer | null;
};

export const KEYS: readonly Key[] = [
  {
    env: 'OPENAI_API_KEY',
    shape: SHAPES.openai,
    host: 'api.openai.com',
    places: HEADER_AND_BASIC,
    value: Buffer.from('sk-proj-REAL-openai-0123456789abcdef'),
  },
  {
    env: 'GITHUB_TOKEN',
    shape: SHAPES.github,
    host: 'github.com',
    places: HEADER_AND_BASIC,
    value: Buffer.from('ghp_REALgithub0123456789abcdefghijklmnop'),
  },
  {
    env: 'TELEGRAM_TOKEN',
    shape: SHAPES.telegram,
    host: 'api.telegram.org',
    places: [{ kind: 'path' }],
    value: Buffer.from('123456789:REALtelegramREALtelegramREALtelegra'),
  },
  {
    env: 'MAPS_KEY',
    shape: SHAPES.openai,
    host: 'maps.example',
    places: [
      { kind: 'query', name: 'key' },
      { kind: 'header', name: 'X-Maps-Key' },
    ],
    value: Buffer.from('maps+REAL/key=0123456789&more'),
  },
  {
    env: 'TWILIO_SID',
    shape: SHAPES.twilio,
    host: 'api.twilio.com',
    places: [{ kind: 'basic' }],
    value: Buffer.from('AC0123456789abcdef0123456789abcdef'),
  },
];

export type World = {
  readonly mine: IdentityBindings;
  /** this identity's placeholder of a key */
  readonly holder: (env: string) => string;
  /** the other identity's */
  readonly theirs: (env: string) => string;
};

export function world(keys: readonly Key[] = KEYS, revoked: readonly RevokedDigest[] = []): World {
  const placeholder = (who: string, key: Key): string =>
    makePlaceholder(seed(`${who}/${key.env}`), key.shape);
  const bindings = keys.map((key): Binding => {
    const value = key.value === null ? null : new SecretValue(key.env, key.value);
    return {
      env: key.env,
      placeholder: placeholder('me', key),
      spec: specOf(key),
      allows: (at) => at.host === key.host,
      value: () => value,
      peek: () => value,
      former: () => [],
    };
  });
  const values = keys.flatMap((key) => (key.value === null ? [] : new SecretValue(key.env, key.value)));
  const of = (who: string, env: string): string => {
    const key = keys.find((one) => one.env === env);
    if (key === undefined) throw new Error(`no key ${env}`);
    return placeholder(who, key);
  };
  return {
    mine: {
      bindings,
      known: indexPlaceholders(keys.flatMap((key) => ['me', 'other'].map((who) => placeholder(who, key)))),
      leaks: buildLeakIndex({ current: values, revoked }),
    },
    holder: (env) => of('me', env),
    theirs: (env) => of('other', env),
  };
}

function specOf(key: Key): SecretSpec {
  return {
    env: key.env,
    from: { kind: 'vault', name: key.env, text: `vault:${key.env}` },
    hosts: [],
    places: key.places,
    profile: 'test',
    at: { file: 'profiles/test.yaml', line: 1, text: key.env },
  };
}

export function headOf(lines: readonly string[], requestLine = 'GET / HTTP/1.1'): string {
  return `${[requestLine, ...lines].join('\r\n')}\r\n\r\n`;
}

export function basic(text: string): string {
  return `Authorization: Basic ${Buffer.from(text, 'latin1').toString('base64')}`;
}

/** The outcome in one line: the head, or the reason. */
export function substitute(
  bindings: IdentityBindings,
  head: string,
  more: { host?: string; secure?: boolean; port?: number } = {},
): string {
  const done = run(bindings, head, more);
  return done.kind === 'ok' ? done.head : done.reason;
}

export function used(bindings: IdentityBindings, head: string, host: string): readonly string[] {
  const done: Substituted | { kind: 'deny' } = run(bindings, head, { host });
  return done.kind === 'ok' ? done.used : [];
}

function run(
  bindings: IdentityBindings,
  head: string,
  more: { host?: string; secure?: boolean; port?: number },
): ReturnType<typeof substituteHead> {
  return substituteHead({
    head,
    bindings,
    at: authority(more.host ?? 'api.openai.com', more.port),
    secure: more.secure ?? true,
  });
}
