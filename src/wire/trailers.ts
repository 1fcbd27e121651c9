/**
 * Trailer sections (RFC 9110 section 6.5): field lines behind a body. gRPC tells its status there. Called by the
 * legs of an exchange. What frames, routes, authenticates or controls a message is not honoured that late: it goes.
 */
import { isHopByHop, isOverride } from './hop.ts';

/** RFC 9110 section 6.5.1: a recipient that merged one of these would act on it after the fact. */
const FORBIDDEN: ReadonlySet<string> = new Set([
  'authorization',
  'cache-control',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'cookie',
  'expect',
  'host',
  'location',
  'max-forwards',
  'range',
  'set-cookie',
  'www-authenticate',
  'alt-svc',
]);

/**
 * @param lines checked field lines, each with its leading CRLF; empty: no trailers
 * @returns those that may pass, in order, byte for byte
 */
export function keepTrailers(lines: string): string {
  if (lines === '') return '';
  let kept = '';
  for (const line of lines.slice(2).split('\r\n')) {
    const name = line.slice(0, line.indexOf(':')).toLowerCase();
    const forbidden = FORBIDDEN.has(name) || isHopByHop(name) || isOverride(name) || name.startsWith('if-');
    if (!forbidden) kept += `\r\n${line}`;
  }
  return kept;
}
