/**
 * What ends an HTTP/2 connection, in words for the record: abuse that we count, and errors that the library
 * finds. Used by `h2-session.ts`.
 */
import type { H2Abuse } from '../wire/h2-abuse.ts';

export const ABUSES: Readonly<Record<H2Abuse, string>> = {
  reset: 'too many resets',
  fault: 'too many malformed streams',
  ping: 'too many PING frames',
  settings: 'too many SETTINGS frames',
  empty: 'too many empty DATA frames',
  window: 'too many WINDOW_UPDATE frames',
  continuation: 'a header section without end',
  other: 'too many frames without use',
  waiting: 'too many small DATA frames',
};

/** By their codes: RFC 9113 section 7. */
const ERROR_NAMES = [
  'NO_ERROR',
  'PROTOCOL_ERROR',
  'INTERNAL_ERROR',
  'FLOW_CONTROL_ERROR',
  'SETTINGS_TIMEOUT',
  'STREAM_CLOSED',
  'FRAME_SIZE_ERROR',
  'REFUSED_STREAM',
  'CANCEL',
  'COMPRESSION_ERROR',
  'CONNECT_ERROR',
  'ENHANCE_YOUR_CALM',
];

/** `code`: of a GOAWAY. */
export function errorName(code: number): string {
  return ERROR_NAMES[code] ?? `error ${code}`;
}
