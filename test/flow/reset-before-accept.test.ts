/** A client that resets its connection before the proxy has looked at it: its address cannot be read any more. */
import { execFileSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { policy } from '../helpers/scene.ts';
import { eventually, makeWorld } from '../helpers/world.ts';

/** Connects, asks and resets, while this process waits for it and so accepts nothing. */
const ASK_AND_RESET = `
const socket = require('node:net').connect({ host: '127.0.0.1', port: Number(process.argv[1]) }, () =>
  socket.write('CONNECT api.test:443 HTTP/1.1\\r\\nHost: api.test:443\\r\\n\\r\\n', () => socket.resetAndDestroy()));`;

it('is recorded as a client that left, and judged by nothing', async () => {
  const world = await makeWorld({ policies: { 'agents.yaml': policy(['allow: api.test']) } });
  execFileSync(process.execPath, ['-e', ASK_AND_RESET, String(world.port)]);
  const records = await eventually(async () => {
    const all = await world.audit();
    return all.length > 0 ? all : null;
  });
  expect(records).toMatchObject([
    { kind: 'end', client: '', group: null, ended: 'client_abort', reason: null, status: 0 },
  ]);
  await world.stop();
});
