/**
 * `GET /doctor.sh`: what `sallyport doctor` looks at, for a sandbox without Node. Settings of the asker, then the shell
 * text of `kit/doctor.sh`, put together as `/install.sh` is. Called by `self.ts`.
 */
import { KEY_PREFIXES } from '../secrets/key-prefixes.ts';
import type { EnvironmentAsk } from './environment.ts';
import { markOf, shellQuote } from './export-script.ts';
import { fetchHeader } from './install-script.ts';
import { DOCTOR } from './kit-files.ts';

/** The script of one identity: POSIX sh. Holds its token where one was used; no placeholder and no key. */
export function doctorScript(ask: EnvironmentAsk): string {
  const settings = {
    proxy_plain: ask.proxyUrl,
    proxy_host: new URL(ask.proxyUrl).host,
    fetch_header: fetchHeader(ask),
    ca_mark: markOf(ask.caPem),
    key_prefixes: KEY_PREFIXES.join(' '),
  };
  return [
    '#!/bin/sh',
    '# Sallyport: is this sandbox shut, and will its clients work? `sh doctor.sh --help` tells more.',
    'set -eu',
    ...Object.entries(settings).map(([name, value]) => `${name}=${shellQuote(value)}`),
    '',
    DOCTOR,
    // In braces: a script that is cut off in this line does not start either.
    '{ main "$@"; }',
    '',
  ].join('\n');
}
