/** A pipeline longer than what the proxy holds of it: reading stops and goes on, and nothing is refused for it. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Answers, readAnswers } from '../helpers/answers.ts';
import { intercepted, policy } from '../helpers/scene.ts';
import { connectTls, open, type Talk } from '../helpers/talk.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, type World } from '../helpers/world.ts';

const MANY = 3_000;
const BODY_BYTES = 200_000;

describe('a large pipeline', () => {
  let plain: Upstream;
  let web: Upstream;
  let world: World;

  beforeAll(async () => {
    plain = await httpUpstream();
    web = await httpUpstream({ name: 'web.test' });
    world = await makeWorld({
      policies: {
        'agents.yaml': policy([intercepted(`plain.test:${plain.port}`), intercepted(`web.test:${web.port}`)]),
      },
      hosts: { 'plain.test': ['127.0.0.1'], 'web.test': ['127.0.0.1'] },
    });
  });
  afterAll(async () => {
    await world.stop();
    await plain.close();
    await web.close();
  });

  /** As many answers, or sooner where it has gone wrong already. */
  const answered = (answers: Answers, count: number): Promise<unknown> =>
    eventually(
      () => answers.list.length === count || answers.list.at(-1)?.status === 400 || answers.over() !== null,
      12_000,
    );

  type Way = { client: Talk; line: (method: string, path: string) => string };
  const ways: Record<string, () => Promise<Way>> = {
    'plain requests': async () => {
      const at = `plain.test:${plain.port}`;
      return {
        client: await open(world.port),
        line: (method, path) => `${method} http://${at}${path} HTTP/1.1\r\nHost: ${at}\r\n`,
      };
    },
    'requests inside TLS': async () => {
      const at = `web.test:${web.port}`;
      return {
        client: await connectTls(world.port, at, { ca: world.caPem }),
        line: (method, path) => `${method} ${path} HTTP/1.1\r\nHost: ${at}\r\n`,
      };
    },
  };

  it.each(Object.entries(ways))(
    'of %s in one write: every one is answered, in order',
    async (_name, begin) => {
      const { client, line } = await begin();
      const answers = readAnswers(client.socket);
      client.write(Array.from({ length: MANY }, (_, n) => `${line('GET', `/n/${n}`)}\r\n`).join(''));
      await answered(answers, MANY);
      client.destroy();
      const wanted = Array.from({ length: MANY }, (_, n) => ({ status: 200, body: `GET /n/${n} 0` }));
      expect(answers.list.length).toBe(MANY);
      expect(answers.list).toEqual(wanted);
    },
  );

  it.each(Object.entries(ways))(
    'of %s: a large body right behind a GET gets through',
    async (_name, begin) => {
      const { client, line } = await begin();
      const answers = readAnswers(client.socket);
      const body = 'b'.repeat(BODY_BYTES);
      client.write(
        `${line('GET', '/first')}\r\n${line('POST', '/second')}Content-Length: ${BODY_BYTES}\r\n\r\n${body}${line('GET', '/third')}\r\n`,
      );
      await answered(answers, 3);
      client.destroy();
      expect(answers.list).toEqual([
        { status: 200, body: 'GET /first 0' },
        { status: 200, body: `POST /second ${BODY_BYTES}` },
        { status: 200, body: 'GET /third 0' },
      ]);
    },
  );
});
