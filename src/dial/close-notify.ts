/**
 * Tells a TLS connection that its peer closed (close_notify) from one that was cut off below TLS: a body that ends
 * with the connection could else be shortened by anyone on the way (RFC 8446 section 6.1). Node tells both alike,
 * as `end`. Used by `tls.ts`, once per connection; nothing is asked before its end.
 */
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';

/** What libuv says to a second start of a reading stream, one that has not seen its own end. */
const ALREADY_READING = -114;
const ALREADY_READING_ON_MAC = -37;

/**
 * Destroys `socket` with an error, in place of its orderly end, when `raw` below ended without a close_notify. All
 * bytes that came are delivered before. Listeners of `end` that were added later see a destroyed socket.
 *
 * The end of a stream is pushed in the same call in which it was read: a close_notify came in bytes, so `raw` is
 * being read still; a bare FIN has stopped its reading. That is not documented API: `test/flow/truncation.test.ts`
 * holds it on every Node version that we support.
 */
export function refuseTruncation(socket: TLSSocket, raw: Socket): void {
  const push = socket.push.bind(socket);
  let cut = false;
  let ended = false;
  socket.push = (chunk: unknown, encoding?: BufferEncoding): boolean => {
    if (chunk !== null) return push(chunk, encoding);
    // Having been asked, the stream below may tell its end once more.
    if (ended) return false;
    ended = true;
    cut = wasCut(socket, raw);
    return push(null);
  };
  socket.on('end', () => {
    if (cut) socket.destroy(new Error('the connection ended without close_notify'));
  });
}

function wasCut(socket: Socket, raw: Socket): boolean {
  const inner: unknown = Reflect.get(socket, '_handle');
  const outer: unknown = Reflect.get(raw, '_handle');
  if (typeof inner !== 'object' || inner === null) return false;
  // Not being read, it can have come to its end by a close_notify only, read before the reading stopped.
  if (Reflect.get(inner, 'reading') !== true) return false;
  if (typeof outer !== 'object' || outer === null) return true;
  const start: unknown = Reflect.get(outer, 'readStart');
  if (typeof start !== 'function') return true;
  const said: unknown = Reflect.apply(start, outer, []);
  return said !== ALREADY_READING && said !== ALREADY_READING_ON_MAC;
}
