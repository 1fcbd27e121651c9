/**
 * Where log lines go when their reader is slow or gone: a pipe that nobody reads takes what the system's buffer takes, and
 * Node keeps the rest in memory, line after line, as fast as sandboxes give occasion for them. Used by `log.ts` alone.
 */

/** What is used of a stream. */
type Stream = { readonly writableLength: number; write(text: string): unknown };

export type LogSink = { write(line: string): void };

/** Lines that wait for their reader; further ones are lost, and the first line after them says how many. */
const MAX_HELD_BYTES = 1_048_576;

/** `told`: the line that tells of so many lost ones. */
export function openLogSink(stream: Stream, told: (lost: number) => string): LogSink {
  let lost = 0;
  return {
    write(line) {
      if (stream.writableLength > MAX_HELD_BYTES) {
        lost += 1;
        return;
      }
      if (lost > 0) stream.write(told(lost));
      lost = 0;
      stream.write(line);
    },
  };
}
