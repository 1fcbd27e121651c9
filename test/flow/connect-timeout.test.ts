/** An upstream that never answers the SYN: the client hears so in its own protocol, after the time limit. */
import { once } from 'node:events';
import net from 'node:net';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { policy, theRecord, tunnelled } from '../helpers/scene.ts';
import { askOnce, tryConnect } from '../helpers/talk.ts';
import { makeWorld, type World } from '../helpers/world.ts';

/** Listens with a queue of one and never accepts: once the queue is full the kernel drops every SYN. */
const DEAF = `
  const { parentPort, workerData } = require('node:worker_threads');
  const server = require('node:net').createServer();
  server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
    parentPort.postMessage(server.address().port);
    Atomics.wait(new Int32Array(workerData), 0, 0, 60_000);
    process.exit();
  });
`;

describe('an upstream that does not answer', () => {
  const flag = new SharedArrayBuffer(4);
  const waiting: net.Socket[] = [];
  let worker: Worker;
  let world: World;
  let port = 0;

  beforeAll(async () => {
    worker = new Worker(DEAF, { eval: true, workerData: flag });
    port = await new Promise<number>((resolve) =>
      worker.once('message', (told: unknown) => resolve(Number(told))),
    );
    for (let filled = 0; filled < 2; filled += 1) {
      const socket = net.connect({ host: '127.0.0.1', port });
      socket.on('error', () => socket.destroy());
      waiting.push(socket);
      await once(socket, 'connect');
    }
    world = await makeWorld({
      policies: { 'agents.yaml': policy([tunnelled(`deaf.test:${port}`)]) },
      hosts: { 'deaf.test': ['127.0.0.1'] },
    });
  });
  afterAll(async () => {
    for (const socket of waiting) socket.destroy();
    Atomics.store(new Int32Array(flag), 0, 1);
    Atomics.notify(new Int32Array(flag), 0);
    await worker.terminate();
    await world.stop();
  });

  it('is connect_timeout, 504, for a CONNECT and for a plain request', async () => {
    const [tunnel, plain] = await Promise.all([
      tryConnect(world.port, `deaf.test:${port}`).catch((error: unknown) => error),
      askOnce(world.port, `GET http://deaf.test:${port}/ HTTP/1.1\r\nHost: deaf.test:${port}\r\n\r\n`).catch(
        (error: unknown) => error,
      ),
    ]);
    expect(tunnel).toMatchObject({ answer: { status: 504 } });
    expect(plain).toMatchObject({ status: 504 });
    const end = await theRecord(world, { kind: 'end', method: 'CONNECT' });
    expect(end).toMatchObject({ reason: 'connect_timeout', status: 504, ended: 'refused' });
  });
});
