/**
 * Where a request wants to go. Bytes are parsed once, by `wire/authority.ts`, into a Target; policy,
 * DNS, SNI, Host, certificate name, key binding, audit and dial all take that object, never a string
 * (invariant: one canonical target).
 */
declare const hostBrand: unique symbol;

/** Lower-case A-label name without a trailing dot, or canonical IP text (IPv6 without brackets). */
export type Host = string & { readonly [hostBrand]: true };

export type HostKind = 'name' | 'ipv4' | 'ipv6';

/** How the request came in. */
export type Via =
  | 'connect'
  | 'absolute-form'
  | 'socks5'
  | 'transparent-tls'
  | 'transparent-http'
  | 'transparent-dns';

export type Authority = {
  readonly host: Host;
  readonly kind: HostKind;
  /** 1 to 65535 */
  readonly port: number;
};

export type Target = Authority & { readonly via: Via };

/** `host:port` as people write it: IPv6 in brackets. */
export function authorityText(at: Authority): string {
  return at.kind === 'ipv6' ? `[${at.host}]:${at.port}` : `${at.host}:${at.port}`;
}

/** The value of Host for this target: without the scheme's default port (RFC 9110 section 7.2). */
export function hostText(at: Authority, defaultPort: number): string {
  const text = authorityText(at);
  return at.port === defaultPort ? text.slice(0, text.lastIndexOf(':')) : text;
}
