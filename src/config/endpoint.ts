/** Addresses with ports as they stand in the settings: listeners and DNS servers. */
import { parseLiteral } from '../policy/address-text.ts';

/** A listening or peer address; IPv6 without brackets. */
export type EndpointText = { readonly host: string; readonly port: number };

const MAX_PORT = 65_535;

/** `127.0.0.1:8080`, `[::]:8080`, `localhost:0`; port 0 lets the system choose. Anything else: null. */
export function parseEndpoint(text: string): EndpointText | null {
  const parts = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]\s]+)):(0|[1-9][0-9]{0,4})$/.exec(text);
  if (parts === null) return null;
  const [, v6, other] = parts;
  const port = Number(parts[3]);
  if (port > MAX_PORT) return null;
  if (v6 !== undefined) {
    const literal = parseLiteral(v6);
    return literal?.kind === 'ipv6' ? { host: literal.text, port } : null;
  }
  const host = (other ?? '').toLowerCase();
  if (parseLiteral(host)?.kind === 'ipv4' || host === 'localhost') return { host, port };
  // A name with a letter is left to the system; what is all digits and dots is a misspelt address.
  return /^(?=.*[a-z])[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?$/.test(host) ? { host, port } : null;
}

/** An IP address of a server, with or without a port: `10.0.0.2`, `127.0.0.1:5300`, `[::1]:53`, `::1`. */
export function parsePeer(text: string, defaultPort: number): EndpointText | null {
  const bare = parseLiteral(text.replace(/^\[(.*)\]$/, '$1'));
  if (bare !== null) return { host: bare.text, port: defaultPort };
  const parsed = parseEndpoint(text);
  return parsed !== null && parsed.port > 0 && parseLiteral(parsed.host) !== null ? parsed : null;
}
