/** Which protocol is offered to a client inside TLS that we end (RFC 7301). Called by `terminate.ts`. */

/**
 * HTTP/2 costs about twice as much per request and carries no WebSocket here, so it is for clients that offer nothing
 * else (gRPC) and for hosts whose rule says `http2: prefer`.
 * @param offered of the ClientHello, in its order
 */
export function chooseProtocol(offered: readonly string[], prefersH2: boolean): 'h2' | 'http/1.1' {
  if (!offered.includes('h2')) return 'http/1.1';
  return prefersH2 || !offered.includes('http/1.1') ? 'h2' : 'http/1.1';
}
