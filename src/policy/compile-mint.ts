/**
 * The `mint:` blocks of a profile become MintSpecs: addresses checked, what proves the client named. Called by
 * `compile-profile.ts`; what asks for the tokens is `vault/mint.ts`.
 */
import type { FilePath, Reporter } from './compile-rule.ts';
import type { MintSpec, SourceRef } from './model.ts';
import type { MintFile } from './schema-mint.ts';

type MintContext = {
  readonly path: FilePath;
  readonly to: Reporter;
  readonly source: (text: string, path: FilePath) => SourceRef;
};

type ClientFile = Extract<MintFile, { kind: 'client_credentials' }>;
type AppFile = Extract<MintFile, { kind: 'github_app' }>;

/** `null` when it cannot be used; why is reported. */
export function compileMint(file: MintFile, how: MintContext): MintSpec | null {
  return file.kind === 'github_app' ? githubApp(file, how) : clientCredentials(file, how);
}

function clientCredentials(file: ClientFile, how: MintContext): MintSpec | null {
  const url = httpsUrl(file.token_url, 'token_url', how);
  const credential = credentialOf(file, how);
  if (url === null || credential === null) return null;
  const signed = file.auth === 'private_key_jwt';
  return {
    kind: 'client_credentials',
    origin: url.origin,
    path: url.pathname + url.search,
    clientId: file.client_id,
    auth: file.auth,
    credential,
    ...(signed
      ? {
          assertion: {
            alg: file.alg ?? 'RS256',
            keyId: file.key_id ?? null,
            audience: file.assertion_audience ?? file.token_url,
          },
        }
      : {}),
    fields: Object.entries({ scope: file.scope, audience: file.audience, resource: file.resource }).flatMap(
      ([name, value]) => (value === undefined ? [] : [[name, value] as const]),
    ),
  };
}

/** One of `client_secret` and `key`, as `auth` asks. */
function credentialOf(file: ClientFile, { path, to, source }: MintContext): SourceRef | null {
  const signed = file.auth === 'private_key_jwt';
  const name = signed ? 'key' : 'client_secret';
  const needless = signed
    ? file.client_secret !== undefined && 'client_secret'
    : (['key', 'alg', 'key_id', 'assertion_audience'] as const).find((field) => file[field] !== undefined);
  if (needless !== undefined && needless !== false) {
    const fix = signed ? 'remove it' : 'remove it, or write auth: private_key_jwt';
    to.problem([...path, needless], `${needless} is not used with auth: ${file.auth}`, fix);
    return null;
  }
  const text = file[name];
  if (text === undefined) {
    to.problem(path, `auth: ${file.auth} needs a ${name}`, `write ${name}: vault:NAME`);
    return null;
  }
  return source(text, [...path, name]);
}

function githubApp(file: AppFile, how: MintContext): MintSpec | null {
  const url = httpsUrl(file.api_url, 'api_url', how);
  if (url === null) return null;
  const base = url.pathname.replace(/\/+$/, '');
  return {
    kind: 'github_app',
    origin: url.origin,
    path: `${base}/app/installations/${file.installation_id}/access_tokens`,
    appId: String(file.app_id),
    credential: how.source(file.key, [...how.path, 'key']),
    repositories: file.repositories ?? null,
    permissions: file.permissions ?? null,
  };
}

function httpsUrl(text: string, name: string, { path, to }: MintContext): URL | null {
  const url = URL.parse(text);
  const usable = url !== null && url.protocol === 'https:' && url.username + url.password + url.hash === '';
  if (usable) return url;
  to.problem([...path, name], `"${text}" is no https:// address`, 'write https://HOST/PATH, without a login');
  return null;
}
