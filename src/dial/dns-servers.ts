/**
 * Which name servers the resolver asks: the settings' list, or the system's from resolv.conf(5), read
 * again when the file changes (DHCP, VPNs and container runtimes rewrite it). Only `nameserver` lines
 * count: no search domains, no `ndots`, because egress names are complete.
 */
import { readFileSync, statSync } from 'node:fs';
import { isIP } from 'node:net';
import type { Clock } from '../base/clock.ts';

export type NameServer = { readonly host: string; readonly port: number };

const DNS_PORT = 53;
/** as glibc's MAXNS */
const MAX_SYSTEM_SERVERS = 3;
const RECHECK_MS = 1_000;

/**
 * Reads `10.0.0.2`, `10.0.0.2:5300`, `::1` or `[::1]:5300`. Throws with code `ERR_DNS_SERVER` when the
 * text is none of them: a name server is an address, never a name.
 */
export function parseNameServer(text: string): NameServer {
  const bracketed = /^\[([^\]]+)\](?::(\d{1,5}))?$/.exec(text);
  if (bracketed !== null && isIP(bracketed[1] ?? '') === 6) return server(bracketed[1], bracketed[2], text);
  if (isIP(text) !== 0) return { host: text, port: DNS_PORT };
  const colon = /^([\d.]+):(\d{1,5})$/.exec(text);
  if (colon !== null && isIP(colon[1] ?? '') === 4) return server(colon[1], colon[2], text);
  throw badServer(text);
}

/** A function that says the system's servers as of now; empty when the file is missing, cannot be read or names none. */
export function systemNameServers(path: string, clock: Clock): () => readonly NameServer[] {
  let servers: readonly NameServer[] = [];
  let stamp = '';
  let checkedAt = Number.NEGATIVE_INFINITY;
  return () => {
    if (clock.mono() - checkedAt < RECHECK_MS) return servers;
    checkedAt = clock.mono();
    try {
      const { ino, size, mtimeMs } = statSync(path);
      const now = `${ino} ${size} ${mtimeMs}`;
      if (now !== stamp) servers = parseResolvConf(readFileSync(path, 'utf8'));
      stamp = now;
    } catch {
      // Missing, a folder, or not for us: a lookup must fail as one, not with an exception. Looked at again soon.
      servers = [];
      stamp = '';
    }
    return servers;
  };
}

/** The first three usable `nameserver` lines of a resolv.conf text. */
export function parseResolvConf(text: string): readonly NameServer[] {
  const servers: NameServer[] = [];
  for (const line of text.split('\n')) {
    const host = /^nameserver[ \t]+(\S+)/.exec(line)?.[1];
    if (host !== undefined && isIP(host) !== 0) servers.push({ host, port: DNS_PORT });
    if (servers.length === MAX_SYSTEM_SERVERS) break;
  }
  return servers;
}

function server(host: string | undefined, port: string | undefined, text: string): NameServer {
  const number = port === undefined ? DNS_PORT : Number(port);
  if (host === undefined || number < 1 || number > 65_535) throw badServer(text);
  return { host, port: number };
}

function badServer(text: string): Error {
  const error = new Error(
    `Not a name server address: ${JSON.stringify(text)}. Write 10.0.0.2 or [::1]:5300.`,
  );
  return Object.assign(error, { code: 'ERR_DNS_SERVER' });
}
