/** A CONNECT that waits behind a plain request: what the client did meanwhile is not forgotten. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { intercepted, policy, records, tunnelled } from '../helpers/scene.ts';
import { connectText, open } from '../helpers/talk.ts';
import { httpUpstream, rawUpstream, type Upstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, type World } from '../helpers/world.ts';

describe('a CONNECT pipelined behind a GET', () => {
  let heard = '';
  let ended = false;
  let answer: (() => void) | null = null;
  let web: Upstream;
  let raw: Awaited<ReturnType<typeof rawUpstream>>;
  let world: World;

  beforeAll(async () => {
    web = await httpUpstream({
      answer: (_request, response) => {
        answer = () => response.end('ok');
      },
    });
    raw = await rawUpstream((socket) => {
      socket.on('data', (bytes: Buffer) => {
        heard += bytes.toString();
      });
      socket.on('end', () => {
        ended = true;
        socket.end('bye');
      });
    });
  });
  beforeEach(async () => {
    heard = '';
    ended = false;
    answer = null;
    world = await makeWorld({
      policies: {
        'agents.yaml': policy([
          tunnelled(`raw.test:${raw.port}`, 'protocol: any'),
          intercepted(`plain.test:${web.port}`),
        ]),
      },
      hosts: { 'raw.test': ['127.0.0.1'], 'plain.test': ['127.0.0.1'] },
    });
  });
  afterEach(() => world.stop());
  afterAll(async () => {
    await web.close();
    await raw.close();
  });

  it.each([
    ['at once', false],
    ['when the GET had reached the upstream', true],
  ])(
    'the client ended its side %s: the upstream of the tunnel sees its bytes and the end',
    async (_when, late) => {
      const at = `plain.test:${web.port}`;
      const client = await open(world.port);
      client.write(
        `GET http://${at}/ HTTP/1.1\r\nHost: ${at}\r\n\r\n${connectText(`raw.test:${raw.port}`)}hello`,
      );
      if (late) await eventually(() => answer);
      client.socket.end();
      const respond = await eventually(() => answer);
      await eventually(() => world.proxy.parts.live.connections === 1);
      respond();
      expect((await client.reply()).body.toString()).toBe('ok');
      expect((await client.head()).status).toBe(200);
      await eventually(() => ended);
      expect(heard).toBe('hello');
      expect((await client.rest()).toString()).toBe('bye');
      await eventually(() => world.proxy.parts.live.connections === 0);
      expect(await records(world, { kind: 'end', method: 'CONNECT', ended: 'done' })).toHaveLength(1);
    },
  );
});
