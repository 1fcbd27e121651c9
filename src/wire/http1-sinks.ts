/** What the machines of `http1-reader.ts` call back. Bytes given to `body()` are valid during the call only. */
import type { Buffer } from 'node:buffer';
import type { Denied } from '../flow/reason.ts';
import type { RequestHead, ResponseHead } from './http1-parse.ts';

export type RequestSink = {
  head(head: RequestHead): void;
  /** decoded, never empty */
  body(bytes: Buffer): void;
  /** @param trailers field lines behind the body, checked, each with its leading CRLF; mostly empty */
  end(trailers: string): void;
  /** the last call; nothing after it is read */
  fault(fault: Denied): void;
};

export type ResponseSink = {
  /** a 1xx other than 101 */
  interim(head: ResponseHead): void;
  head(head: ResponseHead): void;
  /** decoded, never empty */
  body(bytes: Buffer): void;
  /** @param trailers field lines behind the body, checked, each with its leading CRLF; mostly empty */
  end(trailers: string): void;
  /** the last call; nothing after it is read */
  fault(fault: Denied): void;
};
