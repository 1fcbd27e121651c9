/**
 * What a sandbox needs in its environment: one table for `GET /env` and for the command `env`, printed by
 * `environment-formats.ts`. Which client reads which variable was tried with each of them: variables that add to a
 * client's own trust get the CA alone, variables that replace it get the bundle (system roots and CA).
 */
import type { Credential, Identity } from '../flow/identity.ts';

/** What a variable holds. */
export type EnvKind = 'proxy' | 'no-proxy' | 'ca' | 'bundle' | 'java' | 'fixed';

type Row = { readonly kind: EnvKind; readonly names: readonly string[]; readonly value?: string };

const VARIABLES: readonly Row[] = [
  {
    kind: 'proxy',
    // curl reads http_proxy in lower case only, Ruby http_proxy even for https, gRPC its own.
    names: [
      'HTTPS_PROXY',
      'https_proxy',
      'HTTP_PROXY',
      'http_proxy',
      'ALL_PROXY',
      'all_proxy',
      'grpc_proxy',
      'CARGO_HTTP_PROXY',
      'YARN_HTTPS_PROXY',
      'YARN_HTTP_PROXY',
    ],
  },
  // Nothing but these three: parsers of NO_PROXY differ in everything else, and each entry is a hole.
  { kind: 'no-proxy', names: ['NO_PROXY', 'no_proxy', 'no_grpc_proxy'], value: 'localhost,127.0.0.1,::1' },
  { kind: 'fixed', names: ['NODE_USE_ENV_PROXY', 'NODE_USE_SYSTEM_CA', 'UV_SYSTEM_CERTS'], value: '1' },
  { kind: 'fixed', names: ['PERL_LWP_ENV_PROXY'], value: '1' },
  // git sends its token after a 407 only, and an address that identifies a group gets none: it would then be that
  // group, and not the token whose placeholders it holds.
  { kind: 'fixed', names: ['GIT_HTTP_PROXY_AUTHMETHOD'], value: 'basic' },
  { kind: 'fixed', names: ['DENO_TLS_CA_STORE'], value: 'system,mozilla' },
  { kind: 'ca', names: ['NODE_EXTRA_CA_CERTS', 'DENO_CERT'] },
  {
    kind: 'bundle',
    names: [
      'SSL_CERT_FILE',
      'CURL_CA_BUNDLE',
      'REQUESTS_CA_BUNDLE',
      'GIT_SSL_CAINFO',
      'PIP_CERT',
      'AWS_CA_BUNDLE',
      'CARGO_HTTP_CAINFO',
      'GRPC_DEFAULT_SSL_ROOTS_FILE_PATH',
      'NIX_SSL_CERT_FILE',
      'npm_config_cafile',
      'YARN_HTTPS_CA_FILE_PATH',
      'BUNDLE_SSL_CA_CERT',
      'HTTPLIB2_CA_CERTS',
      'HEX_CACERTS_PATH',
      'PERL_LWP_SSL_CA_FILE',
      'CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE',
      'CODEX_CA_CERTIFICATE',
    ],
  },
  // Java reads no proxy variables; it can send no credentials before a 407, so it works by source address.
  { kind: 'java', names: ['JAVA_TOOL_OPTIONS'] },
];

/** Where images keep the two files (`install.sh`, a mount, a COPY line). */
export const CERTIFICATE_DIR = '/etc/sallyport';
export const CA_FILE = 'ca.crt';
export const BUNDLE_FILE = 'bundle.crt';
export const PRELOAD_FILE = 'preload.cjs';

export type EnvVariable = { readonly name: string; readonly value: string; readonly kind: EnvKind | 'key' };

export type EnvironmentAsk = {
  /** `http://host:port` as the sandbox reaches the proxy, without credentials */
  readonly proxyUrl: string;
  readonly identity: Identity;
  /** the token goes into the proxy URL where one was used */
  readonly credential: Credential;
  readonly bindings: readonly { readonly env: string; readonly placeholder: string }[];
  readonly caPem: string;
};

const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/**
 * Names and values in the table's order, keys last. A key never takes the place of a variable of the table.
 * Throws on a name that no shell could hold: the policy's schema lets none through.
 */
export function environmentOf(ask: EnvironmentAsk): EnvVariable[] {
  const table = VARIABLES.flatMap((row) =>
    row.names.map((name) => ({ name, value: valueIn(row, ask), kind: row.kind })),
  );
  const taken = new Set(table.map((variable) => variable.name));
  const keys = ask.bindings
    .filter((binding) => !taken.has(binding.env))
    .map(({ env, placeholder }) => {
      if (!NAME.test(env)) throw new Error('a key has a name that no shell can hold');
      return { name: env, value: placeholder, kind: 'key' as const };
    });
  return [...table, ...keys];
}

/** The proxy URL with the token as password and the group as its label, where a token was used. */
export function proxyUrlWithToken({ proxyUrl, identity, credential }: EnvironmentAsk): string {
  if (credential.kind !== 'token' || identity.proof !== 'token') return proxyUrl;
  const user = `${encodeURIComponent(identity.group)}:${encodeURIComponent(credential.token)}`;
  return proxyUrl.replace('://', () => `://${user}@`);
}

function valueIn(row: Row, ask: EnvironmentAsk): string {
  switch (row.kind) {
    case 'proxy':
      return proxyUrlWithToken(ask);
    case 'ca':
      return `${CERTIFICATE_DIR}/${CA_FILE}`;
    case 'bundle':
      return `${CERTIFICATE_DIR}/${BUNDLE_FILE}`;
    case 'java':
      return javaOptions(ask.proxyUrl);
    case 'no-proxy':
    case 'fixed':
      return row.value ?? '';
  }
}

function javaOptions(proxyUrl: string): string {
  const { hostname, port } = new URL(proxyUrl);
  const at = (scheme: string): string =>
    `-D${scheme}.proxyHost=${hostname} -D${scheme}.proxyPort=${port === '' ? '80' : port}`;
  const direct = '-Dhttp.nonProxyHosts=localhost|127.*|[::1]';
  return `${at('http')} ${at('https')} ${direct} -Djdk.http.auth.tunneling.disabledSchemes=`;
}
