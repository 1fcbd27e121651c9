/** The accepted handle moves to a socket that reads into a shared buffer: undocumented, so held here on every Node. */
import { once } from 'node:events';
import net from 'node:net';
import { describe, expect, it } from 'vitest';
import { ClientLink } from '../../src/base/link.ts';
import { Scratch } from '../../src/base/scratch.ts';
import { eventually } from '../helpers/world.ts';

describe('a client link', () => {
  it('reads into the shared buffer, keeps addresses, half-closes, and reports its close once', async () => {
    const scratch = new Scratch();
    const server = net.createServer({ pauseOnConnect: true, allowHalfOpen: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const client = net.connect({ host: '127.0.0.1', port, allowHalfOpen: true });
    let echoed = '';
    client.on('data', (bytes: Buffer) => {
      echoed += bytes.toString();
    });
    const accepted = await new Promise<net.Socket>((resolve) => server.once('connection', resolve));
    const errors: unknown[] = [];
    const link = new ClientLink(accepted, scratch, (error) => errors.push(error));
    const events: string[] = [];
    let shared = false;
    link.user = {
      onBytes: (bytes) => {
        shared = bytes.buffer === scratch.small().buffer;
        events.push(bytes.toString());
        link.socket.write(Buffer.from(bytes));
        return true;
      },
      onEnd: () => {
        events.push('end');
        link.socket.end();
      },
      onDrain: () => {},
      onClose: (failed) => events.push(failed ? 'failed' : 'closed'),
      tick: () => {},
    };
    link.socket.resume();
    client.write('hello');
    await eventually(() => echoed === 'hello');
    expect(shared).toBe(true);
    expect(link.address).toBe('127.0.0.1');
    expect(link.localAuthority).toBe(`127.0.0.1:${port}`);
    client.end();
    await eventually(() => events.at(-1) === 'closed');
    expect(events).toEqual(['hello', 'end', 'closed']);
    expect(errors).toEqual([]);
    server.close();
  });

  it('whose user throws is destroyed, and says why', async () => {
    const server = net.createServer({ pauseOnConnect: true, allowHalfOpen: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    const client = net.connect({
      host: '127.0.0.1',
      port: typeof address === 'object' && address !== null ? address.port : 0,
    });
    client.on('error', () => client.destroy());
    const accepted = await new Promise<net.Socket>((resolve) => server.once('connection', resolve));
    const errors: unknown[] = [];
    const link = new ClientLink(accepted, new Scratch(), (error) => errors.push(error));
    const fail = (): never => {
      throw new Error('poisoned');
    };
    link.user = { onBytes: fail, onEnd: () => {}, onDrain: () => {}, onClose: () => {}, tick: () => {} };
    link.socket.resume();
    client.write('x');
    await eventually(() => link.socket.destroyed);
    expect(errors).toMatchObject([{ message: 'poisoned' }]);
    client.destroy();
    server.close();
  });
});
