/**
 * Tells one end of a tunnel that the other sends no more. `heard`: nor does this one, so that nothing is left to say
 * once what was written has left: then closing tells the same with one call of the system instead of two, and
 * cannot lose what the system has taken already.
 */
import type net from 'node:net';

export function endSide(socket: net.Socket, heard: boolean): void {
  if (heard && socket.writableLength === 0) socket.destroy();
  else socket.end();
}
