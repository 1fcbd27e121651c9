/**
 * Counts and reads the answers of a long pipeline as they stream in, without keeping them: `talk.ts` holds all that
 * is unread in one piece, which does not do for megabytes of small answers. Answers must have a Content-Length.
 */
import type net from 'node:net';

export type Answer = { readonly status: number; readonly body: string };

export type Answers = {
  /** answers that came whole, in order; bodies cut to their first bytes */
  readonly list: Answer[];
  /** `end`, `close` or the code of an error; null while open */
  readonly over: () => string | null;
};

const BODY_SHOWN_BYTES = 600;
const EMPTY_LINE = '\r\n\r\n';

/** Reads the socket from now on, in place of whoever read it. */
export function readAnswers(socket: net.Socket): Answers {
  const list: Answer[] = [];
  let over: string | null = null;
  let held: Buffer = Buffer.alloc(0);
  const takeOne = (): boolean => {
    const at = held.indexOf(EMPTY_LINE);
    if (at < 0) return false;
    const head = held.toString('latin1', 0, at);
    const start = at + EMPTY_LINE.length;
    const length = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0);
    if (held.length < start + length) return false;
    const body = held.toString('latin1', start, start + Math.min(length, BODY_SHOWN_BYTES));
    list.push({ status: Number(head.split(' ')[1]), body });
    held = held.subarray(start + length);
    return true;
  };
  const ended = (how: string): void => {
    over ??= how;
  };
  socket.removeAllListeners('data');
  socket.on('data', (bytes: Buffer) => {
    held = held.length === 0 ? bytes : Buffer.concat([held, bytes]);
    while (takeOne());
  });
  socket.on('end', () => ended('end'));
  socket.on('error', (error: NodeJS.ErrnoException) => ended(error.code ?? error.message));
  socket.on('close', () => ended('close'));
  socket.resume();
  return { list, over: () => over };
}
