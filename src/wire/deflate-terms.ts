/**
 * What permessage-deflate (RFC 7692 section 7) means for the messages of a client, as a 101 agreed on it. Called
 * by `intercept/upgrade.ts` where messages are looked at; elsewhere the extension is none of the proxy's business.
 */
import type { Extension } from './websocket-handshake.ts';

export const DEFLATE = 'permessage-deflate';

export type DeflateTerms = {
  /** a message may refer back to the ones before it */
  readonly takeover: boolean;
  /** the same of the upstream's messages */
  readonly serverTakeover: boolean;
  /** the upstream's window for what it receives, as an exponent of 2 */
  readonly windowBits: number;
};

const MAX_BITS = 15;
const BITS = /^(?:[89]|1[0-5])$/;

/**
 * @param agreed extensions of the 101, all of them asked for
 * @returns null: none agreed on; `bad`: not what this extension may say (section 7.1: such a connection must fail)
 */
export function readDeflate(agreed: readonly Extension[]): DeflateTerms | null | 'bad' {
  const [first, second] = agreed;
  if (first === undefined) return null;
  if (second !== undefined || first.name !== DEFLATE) return 'bad';
  const seen = new Map<string, string>();
  for (const [name, value] of first.params) {
    if (seen.has(name) || !isParam(name, value)) return 'bad';
    seen.set(name, value);
  }
  return {
    takeover: !seen.has('client_no_context_takeover'),
    serverTakeover: !seen.has('server_no_context_takeover'),
    windowBits: Number(seen.get('client_max_window_bits') ?? MAX_BITS),
  };
}

function isParam(name: string, value: string): boolean {
  if (name === 'client_no_context_takeover' || name === 'server_no_context_takeover') return value === '';
  return (name === 'client_max_window_bits' || name === 'server_max_window_bits') && BITS.test(value);
}
