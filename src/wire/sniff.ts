/**
 * Which protocol a client speaks, from its first byte. Called by `accept/` before anything else. A byte
 * that no protocol of ours begins with is `unknown` and gets no answer.
 */
import type { Buffer } from 'node:buffer';

const TLS_HANDSHAKE = 0x16;
const SOCKS5_VERSION = 0x05;

/**
 * @param first what has come so far, at least one byte
 * @returns `http1` for any printable byte, not only one that may begin a method, so that a malformed
 * request line gets the HTTP answer that it deserves; and for CR and LF, which may precede one
 */
export function sniff(first: Buffer): 'http1' | 'tls' | 'socks5' | 'unknown' {
  const byte = first[0];
  if (byte === undefined) return 'unknown';
  if (byte === TLS_HANDSHAKE) return 'tls';
  if (byte === SOCKS5_VERSION) return 'socks5';
  const printable = byte >= 0x20 && byte <= 0x7e;
  return printable || byte === 0x0d || byte === 0x0a ? 'http1' : 'unknown';
}
