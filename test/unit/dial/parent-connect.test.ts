import net from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ConnectOutcome } from '../../../src/dial/happy-eyeballs.ts';
import { createParentConnect } from '../../../src/dial/parent-connect.ts';
import { eventually } from '../../helpers/world.ts';

const OF_ONE_GROUP = 256;

describe('connections through the hop', () => {
  const sockets: net.Socket[] = [];
  let answers = true;
  let asked = 0;
  let hop: net.Server;
  let via = { host: '127.0.0.1', port: 0 };

  beforeEach(async () => {
    asked = 0;
    const { promise, resolve } = Promise.withResolvers<void>();
    hop = net.createServer((socket) => {
      sockets.push(socket);
      socket.on('error', () => {});
      socket.once('data', () => {
        asked += 1;
        if (answers) socket.write('HTTP/1.1 200 Connection Established\r\n\r\n');
      });
    });
    hop.listen(0, '127.0.0.1', resolve);
    await promise;
    const at = hop.address();
    via = { host: '127.0.0.1', port: at === null || typeof at === 'string' ? 0 : at.port };
  });
  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.destroy();
    hop.close();
  });

  const connector = () => createParentConnect({ authorization: 'Basic eA==', socks: false });
  const ask = (group: string, signal?: AbortSignal) => ({
    addresses: ['192.0.2.1'],
    port: 443,
    staggerMs: 0,
    limitMs: 60_000,
    group,
    signal,
  });
  const keep = (outcome: ConnectOutcome): string => {
    if (outcome.kind === 'connected') sockets.push(outcome.socket);
    return outcome.kind;
  };

  it('that are made no longer count as waiting', async () => {
    answers = true;
    const connect = connector();
    for (let turn = 0; turn < OF_ONE_GROUP + 10; turn += 1) {
      expect(keep(await connect(via, ask('agents')))).toBe('connected');
    }
  });

  it('that wait are counted by group: one that waits for nothing leaves room for the others', async () => {
    answers = false;
    const connect = connector();
    const over = new AbortController();
    const waiting = Array.from({ length: OF_ONE_GROUP }, () => connect(via, ask('agents', over.signal)));
    await eventually(() => asked === OF_ONE_GROUP);
    expect(await connect(via, ask('agents'))).toMatchObject({ kind: 'failed', why: 'error' });
    answers = true;
    expect(keep(await connect(via, ask('others')))).toBe('connected');
    over.abort();
    for (const outcome of await Promise.all(waiting)) expect(outcome).toMatchObject({ why: 'aborted' });
    await eventually(async () => keep(await connect(via, ask('agents'))) === 'connected');
  });
});
