/** Trailers pass both ways, without the fields that come too late there; keys in them are misuse. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AttackWorld, attackWorld, REAL } from '../helpers/attack-world.ts';
import { intercepted, policy, theRecord } from '../helpers/scene.ts';
import { connectTls } from '../helpers/talk.ts';
import { rawUpstream } from '../helpers/upstream.ts';
import { makeWorld, type World } from '../helpers/world.ts';

describe('trailers of an answer', () => {
  let raw: Awaited<ReturnType<typeof rawUpstream>>;
  let world: World;

  beforeAll(async () => {
    const answer =
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\nSet-Cookie: late=1\r\n\r\n';
    raw = await rawUpstream((socket) => socket.on('data', () => socket.write(answer)), { name: 'raw.test' });
    world = await makeWorld({
      policies: { 'agents.yaml': policy([intercepted(`raw.test:${raw.port}`)]) },
      hosts: { 'raw.test': ['127.0.0.1'] },
    });
  });
  afterAll(async () => {
    await world.stop();
    await raw.close();
  });

  it('reach the client, and the connection serves on', async () => {
    const at = `raw.test:${raw.port}`;
    const client = await connectTls(world.port, at, { ca: world.caPem });
    for (let n = 0; n < 2; n += 1) {
      client.write(`GET / HTTP/1.1\r\nHost: ${at}\r\n\r\n`);
      await client.head();
      const tail = '2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n';
      expect((await client.bytes(tail.length)).toString()).toBe(tail);
    }
    expect(raw.connections()).toBe(1);
    client.destroy();
  });
});

describe('trailers of a request', () => {
  let a: AttackWorld;
  beforeAll(async () => {
    a = await attackWorld();
  });
  afterAll(async () => {
    await a.stop();
  });

  it.each([
    ['a real key', (): string => REAL, 'secret_leak'],
    ['a placeholder', (): string => a.mine, 'placeholder_wrong_place'],
    ["another identity's placeholder", (): string => a.theirs, 'placeholder_wrong_place'],
  ] as const)('with %s are refused, and the upstream sees no whole request', async (_name, value, reason) => {
    const reply = await a.inside(
      a.at.bound,
      'POST /',
      'Transfer-Encoding: chunked\r\n',
      `1\r\nx\r\n0\r\nX-Key: ${value()}\r\n\r\n`,
    );
    const { request_id } = reply.json();
    expect(reply.json()).toMatchObject({ reason });
    expect(await theRecord(a.world, { kind: 'end', request_id })).toMatchObject({ ended: 'refused', reason });
    expect(a.arrived()).toBe(0);
  });
});
