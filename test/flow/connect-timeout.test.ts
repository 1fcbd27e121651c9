/** An upstream that never answers the SYN: the client hears so in its own protocol, after the time limit. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BlackHole, blackHole } from '../helpers/black-hole.ts';
import { policy, theRecord, tunnelled } from '../helpers/scene.ts';
import { askOnce, tryConnect } from '../helpers/talk.ts';
import { makeWorld, type World } from '../helpers/world.ts';

describe('an upstream that does not answer', () => {
  let hole: BlackHole;
  let world: World;
  let port = 0;

  beforeAll(async () => {
    hole = await blackHole();
    port = hole.port;
    world = await makeWorld({
      policies: { 'agents.yaml': policy([tunnelled(`deaf.test:${port}`)]) },
      hosts: { 'deaf.test': ['127.0.0.1'] },
    });
  });
  afterAll(async () => {
    await hole.close();
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
