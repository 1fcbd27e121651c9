import { once } from 'node:events';
import net from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { endSide } from '../../src/tunnel/end-side.ts';

const open: (() => unknown)[] = [];
afterEach(() => {
  for (const close of open.splice(0)) close();
});

/** Two ends of one connection, half-open ends allowed. */
async function pair(): Promise<[net.Socket, net.Socket]> {
  const server = net.createServer({ allowHalfOpen: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const there = net.connect({ host: '127.0.0.1', port, allowHalfOpen: true });
  const here = await new Promise<net.Socket>((resolve) => server.once('connection', resolve));
  open.push(
    () => here.destroy(),
    () => there.destroy(),
    () => server.close(),
  );
  return [here, there];
}

describe('the end of one side of a tunnel', () => {
  it('leaves a side open that may still speak', async () => {
    const [here, there] = await pair();
    endSide(here, false);
    there.resume();
    await once(there, 'end');
    there.write('still here');
    const heard: unknown[] = await once(here, 'data');
    expect(String(heard[0])).toBe('still here');
  });

  it('closes at once what has been heard out, without a reset and without losing what was written', async () => {
    const [here, there] = await pair();
    let got = '';
    const errors: unknown[] = [];
    there.on('data', (bytes: Buffer) => {
      got += bytes.toString();
    });
    there.on('error', (error) => errors.push(error));
    there.end();
    here.resume();
    await once(here, 'end');
    here.write('last words');
    endSide(here, true);
    expect(here.destroyed).toBe(true);
    await once(there, 'close');
    expect([got, errors]).toEqual(['last words', []]);
  });

  it('waits for bytes that the system has not taken yet', async () => {
    const [here, there] = await pair();
    there.end();
    here.resume();
    await once(here, 'end');
    const bytes = Buffer.alloc(32 * 1024 * 1024, 7);
    here.write(bytes);
    expect(here.writableLength).toBeGreaterThan(0);
    endSide(here, true);
    expect(here.destroyed).toBe(false);
    let got = 0;
    there.on('data', (more: Buffer) => {
      got += more.length;
    });
    await once(there, 'close');
    expect(got).toBe(bytes.length);
  });
});
