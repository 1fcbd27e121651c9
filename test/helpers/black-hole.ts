/** An upstream that never answers the SYN: it listens with a queue of one, never accepts, and the queue is full. */
import { once } from 'node:events';
import net from 'node:net';
import { Worker } from 'node:worker_threads';

/** The worker's event loop stands still, so nothing is ever accepted; the kernel drops every further SYN. */
const DEAF = `
  const { parentPort, workerData } = require('node:worker_threads');
  const server = require('node:net').createServer();
  server.listen({ port: 0, host: workerData, backlog: 1 }, () => {
    parentPort.postMessage(server.address().port);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  });
`;
/** Linux queues one more than the backlog. */
const QUEUED = 2;

export type BlackHole = { readonly port: number; close(): Promise<void> };

export async function blackHole(host = '127.0.0.1'): Promise<BlackHole> {
  const worker = new Worker(DEAF, { eval: true, workerData: host });
  const port = await new Promise<number>((resolve) => {
    worker.once('message', (told: unknown) => resolve(Number(told)));
  });
  const queued: net.Socket[] = [];
  for (let count = 0; count < QUEUED; count += 1) {
    const socket = net.connect({ host, port });
    socket.on('error', () => socket.destroy());
    queued.push(socket);
    await once(socket, 'connect');
  }
  return {
    port,
    async close() {
      for (const socket of queued) socket.destroy();
      await worker.terminate();
    },
  };
}
