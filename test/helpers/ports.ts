/** Ports of 127.0.0.1 on which nothing listens. */
import { once } from 'node:events';
import net from 'node:net';

/**
 * One that nobody else is given while this process lives: it is a client's end of a connection. A port that was just
 * given back may be another test's a moment later. It is bound and not left to connect to choose: what connect chose
 * for one destination it may choose again for another, and a dial of this very port would then connect to itself.
 */
export async function deadPort(): Promise<number> {
  const server = net.createServer((socket) => void socket.on('error', () => {}).unref());
  server.listen(0, '127.0.0.1').unref();
  await once(server, 'listening');
  const at = server.address();
  if (at === null || typeof at === 'string') throw new Error('not listening');
  const socket = net.connect({ port: at.port, host: '127.0.0.1', localAddress: '127.0.0.1' });
  await once(socket, 'connect');
  socket.on('error', () => {}).unref();
  if (socket.localPort === undefined) throw new Error('no port');
  return socket.localPort;
}

/** One that is free now, for a program that is about to listen there. */
export async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const at = server.address();
  server.close();
  await once(server, 'close');
  if (at === null || typeof at === 'string') throw new Error('no port');
  return at.port;
}
