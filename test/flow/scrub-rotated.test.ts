/** A key that rotated: what the upstream still says of the old value reaches the sandbox no more than the new one. */
import { describe, expect, it } from 'vitest';
import { intercepted, placeholderIn, policy, profile } from '../helpers/scene.ts';
import { askOnce, connectTls } from '../helpers/talk.ts';
import { rawUpstream } from '../helpers/upstream.ts';
import { eventually, makeWorld } from '../helpers/world.ts';

const VALUES = ['one', 'two', 'three'].map((name) => `ghp_${name.repeat(12).slice(0, 36)}`);
const [FIRST = '', SECOND = '', THIRD = ''] = VALUES;

describe('a key that rotated', () => {
  it('is taken out of answers in its values of now and before, on open connections and new ones', async () => {
    const body = VALUES.map((value) => `${value} ${Buffer.from(value).toString('base64')}`).join('\n');
    let stream = (_text: string): void => {};
    const raw = await rawUpstream(
      (socket) =>
        socket.on('data', (bytes: Buffer) => {
          if (!bytes.includes('/stream'))
            return void socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
          socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
          stream = (text) => void socket.write(`${text.length.toString(16)}\r\n${text}\r\n`);
        }),
      { name: 'raw.test' },
    );
    const at = `raw.test:${raw.port}`;
    const world = await makeWorld({
      policies: {
        'agents.yaml': policy([intercepted(at)], { more: 'profile: keys\n' }),
        'profiles/keys.yaml': profile([{ env: 'API_KEY', from: 'file:key', hosts: [at] }]),
      },
      hosts: { 'raw.test': ['127.0.0.1'] },
      files: { key: FIRST },
    });
    const env = await askOnce(world.port, 'GET /env?format=json HTTP/1.1\r\nHost: sallyport:8080\r\n\r\n');
    const placeholder = placeholderIn(env.json(), 'API_KEY');
    const ask = async (): Promise<string> => {
      const client = await connectTls(world.port, at, { ca: world.caPem });
      const reply = await client.ask(`GET / HTTP/1.1\r\nHost: ${at}\r\n\r\n`);
      client.destroy();
      return reply.body.toString();
    };
    const open = await connectTls(world.port, at, { ca: world.caPem });
    open.write(`GET /stream HTTP/1.1\r\nHost: ${at}\r\n\r\n`);
    await open.head();
    for (const [next, held] of [
      [SECOND, [FIRST, SECOND]],
      [THIRD, VALUES],
    ] as const) {
      world.write('key', next);
      await eventually(async () => !(await ask()).includes(next));
      const got = await ask();
      for (const value of held) {
        expect(got).not.toContain(value);
        expect(got).not.toContain(Buffer.from(value).toString('base64'));
      }
      expect(got).toContain(`${placeholder} ${Buffer.from(placeholder).toString('base64')}`);
    }
    // The stream began with the first value.
    stream(`${body}\n\n`);
    const told = (await open.bytes(body.length)).toString();
    for (const value of VALUES) expect(told).not.toContain(value);
    open.destroy();
    await world.stop();
    await raw.close();
  });
});
