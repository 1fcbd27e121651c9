/**
 * The checks of `doctor`, each a question to the machine that it runs on: is there a way out past the proxy, who
 * am I to the proxy, is its CA trusted, do the usual programs use it, is there a real key. Called by `doctor.ts`; all that
 * they do to the world goes through `Outside`.
 */
import { realKeys } from './doctor-keys.ts';
import type { Outside } from './doctor-outside.ts';

export type Finding = {
  readonly check: string;
  readonly status: 'ok' | 'warn' | 'fail' | 'skipped';
  readonly detail: string;
  /** what to do, one line; empty where nothing is to be done */
  readonly fix: string;
};

/** Public addresses that answer everywhere, and the metadata service of clouds. */
const OUT_THERE: readonly (readonly [string, number])[] = [
  ['1.1.1.1', 443],
  ['8.8.8.8', 53],
  ['9.9.9.9', 443],
  ['2606:4700:4700::1111', 443],
  ['2001:4860:4860::8888', 53],
  ['169.254.169.254', 80],
];
const NAME_SERVERS = ['1.1.1.1', '8.8.8.8', '2606:4700:4700::1111'];
const PUBLIC_NAMES = ['example.com', 'one.one.one.one'];
const NETWORK_FIX = 'give the sandbox network no route but to the proxy: deploy/README.md';

/** Variables with the CA alone, and with the bundle; without the first group Node fails, without the second the rest. */
const TRUST = [
  'NODE_EXTRA_CA_CERTS DENO_CERT SSL_CERT_FILE CURL_CA_BUNDLE REQUESTS_CA_BUNDLE GIT_SSL_CAINFO PIP_CERT AWS_CA_BUNDLE',
  'CARGO_HTTP_CAINFO GRPC_DEFAULT_SSL_ROOTS_FILE_PATH npm_config_cafile',
].flatMap((line) => line.split(' '));
const SYSTEM_BUNDLES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/cert.pem',
];

/** No rule names it, so the proxy's own refusal is the answer of a program that uses the proxy. */
const PROBE = 'https://doctor.sallyport.invalid/';
const NODE_PROBE = `require('https').get('${PROBE}',(a)=>console.log(a.statusCode)).on('error',(e)=>console.log(e.message))`;
const PROGRAMS: readonly (readonly [string, readonly string[]])[] = [
  ['curl', ['-fsS', '-o', '/dev/null', PROBE]],
  ['git', ['ls-remote', PROBE]],
  ['python3', ['-c', `import urllib.request as u; u.urlopen("${PROBE}")`]],
  ['node', ['-e', NODE_PROBE]],
];

/** All of them, in the order in which a reader wants them. Values of variables and files are never in a finding. */
export async function findings(outside: Outside): Promise<readonly Finding[]> {
  const [proxy, ways] = await Promise.all([checkProxy(outside), checkWaysOut(outside)]);
  const programs =
    proxy.url === null ? [] : await Promise.all(PROGRAMS.map((one) => checkProgram(outside, one)));
  return [
    ...ways,
    proxy.finding,
    ...checkTrust(outside, proxy.ca),
    ...programs,
    checkKeys(outside, proxy.placeholders),
  ];
}

const finding = (check: string, status: Finding['status'], detail: string, fix = ''): Finding => {
  return { check, status, detail, fix };
};

async function checkWaysOut(outside: Outside): Promise<Finding[]> {
  const reached = await Promise.all(OUT_THERE.map(([host, port]) => outside.connects(host, port)));
  const open = OUT_THERE.filter((_, index) => reached[index]).map(([host, port]) => `${host} port ${port}`);
  const answered = await Promise.all(NAME_SERVERS.map((server) => outside.answersDns(server)));
  const servers = NAME_SERVERS.filter((_, index) => answered[index]);
  const resolved = await Promise.all(PUBLIC_NAMES.map((name) => outside.resolve(name)));
  const known = PUBLIC_NAMES.filter((_, index) => (resolved[index] ?? []).some((one) => !isLocal(one)));
  return [
    open.length === 0
      ? finding(
          'direct TCP',
          'ok',
          `none of ${OUT_THERE.length} addresses outside can be reached without the proxy`,
        )
      : finding('direct TCP', 'fail', `reached without the proxy: ${open.join(', ')}`, NETWORK_FIX),
    servers.length === 0
      ? finding('direct DNS', 'ok', 'no name server outside answers')
      : finding('direct DNS', 'fail', `name servers answer: ${servers.join(', ')}`, NETWORK_FIX),
    known.length === 0
      ? finding('system resolver', 'ok', 'public names are not resolved here; the proxy resolves them')
      : finding(
          'system resolver',
          'fail',
          `resolves ${known.join(', ')}: data can leave in names`,
          'give the sandbox no DNS; Docker before 25.0.5 and 26.0 forwards names even from an internal network',
        ),
  ];
}

/** The gate of transparent mode answers with an address of its own network. */
function isLocal(address: string): boolean {
  return /^(?:0\.|10\.|127\.|169\.254\.|172\.(?:1[6-9]|2\d|3[01])\.|192\.168\.|::1?$|f[cd]|fe80)/i.test(
    address,
  );
}

type ProxyState = {
  readonly finding: Finding;
  readonly url: URL | null;
  readonly ca: string | null;
  readonly placeholders: ReadonlySet<string>;
};

async function checkProxy(outside: Outside): Promise<ProxyState> {
  const { env } = outside;
  const text = env['HTTPS_PROXY'] ?? env['https_proxy'] ?? '';
  const none = { url: null, ca: null, placeholders: new Set<string>() };
  const evalFix = 'eval "$(curl -fsS http://PROXY:8080/env)", or run /install.sh';
  if (!URL.canParse(text))
    return { ...none, finding: finding('proxy', 'fail', 'HTTPS_PROXY names none', evalFix) };
  const url = new URL(text);
  const user = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  const authorization = user === ':' ? null : `Basic ${Buffer.from(user).toString('base64')}`;
  const ask = (path: string): ReturnType<Outside['ask']> =>
    outside.ask(`http://${url.host}${path}`, authorization);
  const who = await ask('/whoami');
  if (who === null) {
    const fix = 'is it running, and may this network reach its port?';
    return { ...none, finding: finding('proxy', 'fail', `${url.host} does not answer`, fix) };
  }
  const me = who.status === 200 ? objectOf(who.body) : null;
  if (me === null) {
    const fix =
      who.status === 407 ? 'get a new token, or check the sources of the group' : 'is this Sallyport?';
    return { ...none, finding: finding('proxy', 'fail', `${url.host} answers ${who.status}`, fix) };
  }
  const [ca, variables] = await Promise.all([ask('/ca.pem'), ask('/env?format=json')]);
  const values = Object.values(objectOf(variables?.body ?? '') ?? {});
  const detail = `${url.host}: group ${String(me['group'])}, identity ${String(me['identity'])}`;
  return {
    url,
    ca: ca?.status === 200 ? ca.body : null,
    placeholders: new Set(values.filter((value) => typeof value === 'string')),
    finding:
      me['mode'] === 'monitor'
        ? finding(
            'proxy',
            'warn',
            `${detail}, mode monitor: nothing is refused`,
            'mode: enforce in the policy',
          )
        : finding('proxy', 'ok', detail),
  };
}

function objectOf(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : null;
  } catch {
    return null;
  }
}

function checkTrust(outside: Outside, ca: string | null): Finding[] {
  if (ca === null) return [finding('trust', 'skipped', 'the proxy did not tell its CA')];
  const mark = /[A-Za-z0-9+/=\s]+(?=-----END)/.exec(ca)?.[0].replaceAll(/\s/g, '') ?? ca;
  const holds = (file: string): boolean => (outside.read(file) ?? '').replaceAll(/\s/g, '').includes(mark);
  const unset = TRUST.filter((name) => (outside.env[name] ?? '') === '');
  const wrong = TRUST.filter((name) => !unset.includes(name) && !holds(outside.env[name] ?? ''));
  const fix = 'run /install.sh, or evaluate /env again';
  const variables =
    wrong.length > 0
      ? finding('trust by variables', 'fail', `point to files without the CA: ${wrong.join(', ')}`, fix)
      : unset.length > 0
        ? finding('trust by variables', 'warn', `not set: ${unset.join(', ')}`, fix)
        : finding('trust by variables', 'ok', `${TRUST.length} variables point to files with the CA`);
  const system = SYSTEM_BUNDLES.some(holds)
    ? finding('trust by the system', 'ok', 'the system’s bundle holds the CA')
    : finding(
        'trust by the system',
        'warn',
        'no bundle of the system holds the CA',
        'run /install.sh as root',
      );
  return [variables, system];
}

async function checkProgram(outside: Outside, [program, args]: (typeof PROGRAMS)[number]): Promise<Finding> {
  const said = await outside.run(program, args);
  if (said === null) return finding(program, 'skipped', 'is not here');
  if (/\b(?:403|502|503)\b/.test(said)) return finding(program, 'ok', 'asks the proxy');
  if (/\b407\b/.test(said))
    return finding(program, 'fail', 'asks the proxy without a good token', 'get a new token');
  const fix =
    program === 'node' ? 'NODE_USE_ENV_PROXY=1, and the preload for Node before 24.5' : 'set HTTPS_PROXY';
  return finding(program, 'fail', 'does not ask the proxy', fix);
}

function checkKeys(outside: Outside, placeholders: ReadonlySet<string>): Finding {
  const found = realKeys(outside, placeholders);
  if (found.length === 0) return finding('real keys', 'ok', 'none in the environment or the usual files');
  const fix = 'take them out, put them into the vault, rotate them';
  return finding('real keys', 'fail', `look like real keys: ${found.join(', ')}`, fix);
}
