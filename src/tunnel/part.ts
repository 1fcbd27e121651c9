/** The last of a tunnel: what ended well is sent to its end, within limits; what did not must not look complete to either side. */
import type net from 'node:net';
import { sendRefusal } from '../base/answer.ts';
import type { ClientLink } from '../base/link.ts';
import { resetSocket } from '../base/reset.ts';

/** How long an upstream may take what the client sent last. */
const FLUSH_MS = 60_000;

/** `last`: what the client is still told of an end that was not well; null: its connection is reset. */
export function part(
  link: ClientLink,
  upstream: net.Socket,
  how: { well: boolean; last: Buffer | null },
): void {
  if (!how.well) {
    resetSocket(upstream);
    return sendRefusal(link, how.last);
  }
  upstream.destroySoon();
  if (!upstream.destroyed) upstream.setTimeout(FLUSH_MS, () => upstream.destroy());
  if (!link.socket.destroyed) link.finishWith(null);
  return undefined;
}
