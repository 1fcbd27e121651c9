/** A sandbox that has an upstream say its guesses again, and looks how much of them comes at once. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { intercepted, policy, profile } from '../helpers/scene.ts';
import { connectTls } from '../helpers/talk.ts';
import { rawUpstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, type World } from '../helpers/world.ts';

const REAL = 'ghp_REALgithub0123456789abcdefghijklmnop';

describe('a guess that an upstream says again', () => {
  let echo: Awaited<ReturnType<typeof rawUpstream>>;
  let world: World;
  let at = '';

  beforeAll(async () => {
    echo = await rawUpstream(
      (socket) => {
        socket.once('data', () => {
          socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
          socket.on('data', (bytes) => void socket.write(bytes));
        });
      },
      { name: 'echo.test' },
    );
    at = `echo.test:${echo.port}`;
    world = await makeWorld({
      policies: {
        'agents.yaml': policy([intercepted(at)], { more: 'profile: keys\n' }),
        'profiles/keys.yaml': profile([{ env: 'API_KEY', from: 'env:REAL', hosts: [at] }]),
      },
      hosts: { 'echo.test': ['127.0.0.1'] },
      env: { REAL },
    });
  });
  afterAll(async () => {
    await world.stop();
    await echo.close();
  });

  /** How many bytes of a guess come back while the upstream says no more. */
  const heard = async (guess: string): Promise<number> => {
    const client = await connectTls(world.port, at, { ca: world.caPem });
    client.write(`POST / HTTP/1.1\r\nHost: ${at}\r\nTransfer-Encoding: chunked\r\n\r\n`);
    await client.head();
    const before = '.'.repeat(50);
    const chunk = before + guess;
    client.write(`${chunk.length.toString(16)}\r\n${chunk}\r\n`);
    const came = await client.bytes(before.length);
    client.destroy();
    // The line before the chunk tells how much of it there is.
    return Number.parseInt(came.toString('latin1'), 16) - before.length;
  };

  it('comes back in the same way whether it is the beginning of a key or not', async () => {
    for (const length of [5, 6, 20, 39]) {
      const right = REAL.slice(0, length);
      const wrong = `${REAL.slice(0, length - 1)}_`;
      expect(await heard(wrong)).toBe(await heard(right));
      const coded = (text: string): string => Buffer.from(text).toString('hex');
      expect(await heard(coded(wrong))).toBe(await heard(coded(right)));
    }
    expect(await eventually(() => world.audit())).not.toHaveLength(0);
  });
});
