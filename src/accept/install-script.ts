/**
 * `GET /install.sh`: settings of the asker, then the shell text of `kit/install*.sh`. Called by `self.ts`. What
 * is not fixed stands above all code, in single quotes or in texts between marks that do not occur in them; the last
 * line starts it all, so that a half-downloaded script does nothing.
 */
import {
  BUNDLE_FILE,
  CA_FILE,
  CERTIFICATE_DIR,
  type EnvironmentAsk,
  environmentOf,
  PRELOAD_FILE,
  proxyUrlWithToken,
} from './environment.ts';
import { markOf, shellQuote } from './export-script.ts';
import { INSTALL, INSTALL_TOOLS, PRELOAD } from './kit-files.ts';

/** The script of one identity: POSIX sh. Holds its token where one was used, and placeholders; never a key. */
export function installScript(ask: EnvironmentAsk): string {
  const { hostname, port } = new URL(ask.proxyUrl);
  const settings = {
    proxy_url: proxyUrlWithToken(ask),
    proxy_plain: ask.proxyUrl,
    proxy_host: hostname,
    proxy_port: port === '' ? '80' : port,
    fetch_header: fetchHeader(ask),
    ca_mark: markOf(ask.caPem),
  };
  return [
    '#!/bin/sh',
    '# Sallyport: prepares a sandbox, container or image for its proxy. `sh install.sh --help` tells how.',
    'set -eu',
    ...Object.entries(settings).map(([name, value]) => `${name}=${shellQuote(value)}`),
    '',
    ...printer('ca_certificate', ask.caPem),
    ...printer('variables', variables(ask)),
    ...printer('preload', PRELOAD),
    INSTALL,
    INSTALL_TOOLS,
    // In braces: a script that is cut off in this line does not start either.
    '{ main "$@"; }',
    '',
  ].join('\n');
}

/** The field that a script sends to be who its asker is; empty where the address tells. */
export function fetchHeader({ credential, identity }: EnvironmentAsk): string {
  const byToken = credential.kind === 'token' && identity.proof === 'token';
  return byToken ? `Proxy-Authorization: Bearer ${credential.token}` : '';
}

/** A shell function that prints the text as it is. */
function printer(name: string, text: string): string[] {
  let mark = 'END_OF_TEXT';
  while (text.includes(mark)) mark += '_';
  return [`${name}() {`, `  cat <<'${mark}'`, text.trimEnd(), mark, '}', ''];
}

/** Lines for a shell in which `sallyport_dir` is where the files of the kit are. */
function variables(ask: EnvironmentAsk): string {
  const lines = environmentOf(ask).map(({ name, value, kind }) => {
    if (kind !== 'ca' && kind !== 'bundle') return `export ${name}=${shellQuote(value)}`;
    return `export ${name}="$sallyport_dir/${kind === 'ca' ? CA_FILE : BUNDLE_FILE}"`;
  });
  const preload = `$sallyport_dir/${PRELOAD_FILE}`;
  return [
    `# Sallyport, group ${ask.identity.group}: proxy, certificates (in ${CERTIFICATE_DIR}, or in the home folder), placeholders.`,
    ...lines,
    // Node does not start when the file is missing.
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell's own expansion
    'case "${NODE_OPTIONS:-}" in',
    `  *"${preload}"*) ;;`,
    `  *) [ ! -r "${preload}" ] || export NODE_OPTIONS="--require ${preload}\${NODE_OPTIONS:+ $NODE_OPTIONS}" ;;`,
    'esac',
  ].join('\n');
}
