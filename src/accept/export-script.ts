/**
 * The shell form of the environment: `eval "$(curl -fsS http://sallyport:8080/env)"` must work on its own
 * with curl or wget. The CA files are taken from /etc/sallyport when they are this proxy's, else fetched from
 * it. POSIX sh, meant to be read by a reviewer; every statement ends in `;` and remarks are arguments of `:`,
 * so that an eval without quotes (which joins the lines) still does the same.
 */
import {
  BUNDLE_FILE,
  CA_FILE,
  CERTIFICATE_DIR,
  type EnvironmentAsk,
  type EnvVariable,
  PRELOAD_FILE,
} from './environment.ts';

/** Lines of a script for POSIX shells. Values are single-quoted; only the folder of the CA files is looked up. */
export function exportScript(variables: readonly EnvVariable[], ask: EnvironmentAsk): string[] {
  const files = variables.filter(({ kind }) => kind === 'ca' || kind === 'bundle');
  const values = variables.filter(({ kind }) => kind !== 'ca' && kind !== 'bundle');
  return [
    `: ${shellQuote(`Sallyport, group ${ask.identity.group}: proxy variables and placeholders`)};`,
    ...values.map(({ name, value }) => `export ${name}=${shellQuote(value)};`),
    `: 'Certificates: ${CERTIFICATE_DIR} if it holds the CA of this proxy, else fetched into a folder of yours';`,
    ...findCertificates(ask),
    'if [ -n "$sallyport_dir" ]; then',
    ...files.map(
      ({ name, kind }) => `  export ${name}="$sallyport_dir/${kind === 'ca' ? CA_FILE : BUNDLE_FILE}";`,
    ),
    ...preloadLines(),
    'fi;',
    'unset -f sallyport_fetch;',
    'unset sallyport_dir sallyport_mark;',
  ];
}

/** One word for a POSIX shell, whatever is in it. */
export function shellQuote(value: string): string {
  return `'${value.replaceAll("'", "'\\''")}'`;
}

/**
 * Node's preload joins what NODE_OPTIONS holds, once, and only where its file is: without it Node would not start.
 * A path with a space or a quote would need NODE_OPTIONS' own quoting; there Node does without.
 */
function preloadLines(): string[] {
  const file = `"$sallyport_dir/${PRELOAD_FILE}"`;
  return [
    `  if [ -r ${file} ] && ! printf '%s' "$sallyport_dir" | grep -q '[^A-Za-z0-9_./-]' &&`,
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell's own expansion
    `    ! printf '%s' "${'${NODE_OPTIONS:-}'}" | grep -qF -e ${file}; then`,
    `    NODE_OPTIONS="--require $sallyport_dir/${PRELOAD_FILE}\${NODE_OPTIONS:+ $NODE_OPTIONS}";`,
    '    export NODE_OPTIONS;',
    '  fi;',
  ];
}

function findCertificates(ask: EnvironmentAsk): string[] {
  const { credential, identity } = ask;
  const known = credential.kind === 'token' && identity.proof === 'token';
  const header = known ? shellQuote(`Proxy-Authorization: Bearer ${credential.token}`) : '';
  // An empty http_proxy keeps wget (GNU's and busybox's) from asking the proxy by way of the proxy.
  const curl = `curl -fsS --noproxy '*' ${known ? `-H ${header} ` : ''}-o "$2.new" "$1"`;
  const wget = `http_proxy= wget -q ${known ? `--header=${header} ` : ''}-O "$2.new" "$1"`;
  const fetch = (path: string, file: string): string =>
    `sallyport_fetch ${shellQuote(ask.proxyUrl + path)} "$sallyport_dir/${file}"`;
  return [
    'sallyport_fetch() {',
    `  if command -v curl >/dev/null 2>&1; then ${curl}; else ${wget}; fi && mv -f "$2.new" "$2";`,
    '};',
    `sallyport_dir=${shellQuote(CERTIFICATE_DIR)};`,
    `sallyport_mark=${shellQuote(markOf(ask.caPem))};`,
    'if ! { ' +
      `grep -qsF -e "$sallyport_mark" "$sallyport_dir/${CA_FILE}" && ` +
      `grep -qsF -e "$sallyport_mark" "$sallyport_dir/${BUNDLE_FILE}"; }; then`,
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell's own expansion
    '  sallyport_dir="${SALLYPORT_DIR:-${HOME:+$HOME/.sallyport-ca}}";',
    '  { mkdir -p "$sallyport_dir" && [ -w "$sallyport_dir" ]; } 2>/dev/null || sallyport_dir=$(mktemp -d);',
    `  if ${fetch('/ca.pem', CA_FILE)} && ${fetch('/bundle.pem', BUNDLE_FILE)}; then`,
    `    ${fetch('/preload.cjs', PRELOAD_FILE)} || :;`,
    '  else',
    "    echo 'sallyport: could not fetch the CA certificate; hosts whose TLS is read will fail' >&2;",
    "    sallyport_dir='';",
    '  fi;',
    'fi;',
  ];
}

/**
 * A line of the CA's text that no other certificate has: the last full one, out of its signature. With it the
 * script tells this proxy's CA from the one of an older installation, with grep alone. `caPem` may go on with
 * the chain of an intermediate CA; the first certificate is the one that signs.
 */
export function markOf(caPem: string): string {
  const [first = ''] = caPem.split('-----END');
  const lines = first.split(/\r?\n/).filter((line) => /^[A-Za-z0-9+/]{64}$/.test(line));
  return lines.at(-1) ?? 'no certificate';
}
