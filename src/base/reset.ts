/**
 * Breaks a TCP connection off, so that nothing sent may look complete. libuv resets nothing whose FIN is on its way
 * (`uv_tcp_close_reset`: EINVAL), and Node then holds the handle, its file and its place for ever; so what is ending by
 * itself is closed instead. All that was written is with the kernel by then: there was nothing left to break off.
 */
import type net from 'node:net';

/** `top`: what ends `socket`, where TLS stands on it. Does nothing to one that is gone. */
export function resetSocket(socket: net.Socket, top: net.Socket = socket): void {
  if (socket.destroyed) return;
  if (isEnding(socket) || isEnding(top)) socket.destroy();
  else socket.resetAndDestroy();
}

function isEnding({ writableEnded, writableFinished, writableLength }: net.Socket): boolean {
  return writableEnded && !writableFinished && writableLength === 0;
}
