/**
 * Connections share one read buffer. Bytes that a slow reader's connection still holds must not be overwritten by
 * what other connections read: nobody ever gets a byte of somebody else's.
 */
import { createHash, type Hash } from 'node:crypto';
import type net from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { policy, tunnelled } from '../helpers/scene.ts';
import { connect } from '../helpers/talk.ts';
import { rawUpstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, type World } from '../helpers/world.ts';

const TUNNELS = 6;
const ROUNDS = 2;
const PIECE_BYTES = 200_003;
/** A source has at most this much waiting in its own memory. */
const WAITING_BYTES = 512 * 1024;
const STALLED_MS = 150;
const TURNS_AFTER = 20;

/** One direction of one tunnel. */
type Lane = {
  readonly from: net.Socket;
  readonly to: net.Socket;
  readonly piece: Buffer;
  readonly sent: Hash;
  readonly got: Hash;
  sentBytes: number;
  gotBytes: number;
};

function lane(index: number, from: net.Socket, to: net.Socket): Lane {
  const piece = createHash('shake256', { outputLength: PIECE_BYTES }).update(`tunnel ${index}`).digest();
  const one: Lane = {
    from,
    to,
    piece,
    sent: createHash('sha256'),
    got: createHash('sha256'),
    sentBytes: 0,
    gotBytes: 0,
  };
  to.removeAllListeners('data');
  to.on('data', (bytes: Buffer) => {
    one.got.update(bytes);
    one.gotBytes += bytes.length;
  });
  return one;
}

function send(one: Lane): void {
  if (one.from.writableLength > WAITING_BYTES) return;
  one.from.write(one.piece);
  one.sent.update(one.piece);
  one.sentBytes += one.piece.length;
}

describe('the shared read buffer', () => {
  const accepted: net.Socket[] = [];
  let raw: Awaited<ReturnType<typeof rawUpstream>>;
  let world: World;

  beforeAll(async () => {
    raw = await rawUpstream((socket) => void accepted.push(socket));
    world = await makeWorld({
      policies: { 'agents.yaml': policy([tunnelled(`raw.test:${raw.port}`, 'protocol: any')]) },
      hosts: { 'raw.test': ['127.0.0.1'] },
    });
  });
  afterAll(async () => {
    await world.stop();
    for (const socket of accepted) socket.destroy();
    await raw.close();
  });

  /** Tunnels one after the other, so that client and upstream ends belong together. */
  const openTunnels = async (): Promise<{ client: net.Socket; server: net.Socket }[]> => {
    const list: { client: net.Socket; server: net.Socket }[] = [];
    for (let n = 0; n < TUNNELS; n += 1) {
      const before = accepted.length;
      const { socket: client } = await connect(world.port, `raw.test:${raw.port}`);
      list.push({ client, server: await eventually(() => accepted[before]) });
    }
    return list;
  };

  /** The slow one's reader stands still until its source is stuck, while the others move on; then all is read. */
  const round = async (slow: Lane, others: readonly Lane[]): Promise<void> => {
    slow.to.pause();
    let last = -1;
    let since = Date.now();
    await eventually(() => {
      for (const one of [slow, ...others]) send(one);
      if (slow.from.writableLength !== last) since = Date.now();
      last = slow.from.writableLength;
      return last > 0 && Date.now() - since > STALLED_MS;
    }, 10_000);
    let turns = 0;
    await eventually(() => {
      for (const one of others) send(one);
      turns += 1;
      return turns > TURNS_AFTER;
    });
    slow.to.resume();
    const all = [slow, ...others];
    await eventually(() => all.every((one) => one.gotBytes >= one.sentBytes), 10_000);
  };

  it.each([
    ['from the upstreams to the clients', false],
    ['from the clients to the upstreams', true],
  ])('%s, everyone gets its own bytes, however slow one is', async (_name, up) => {
    const tunnels = await openTunnels();
    const lanes = tunnels.map(({ client, server }, index) =>
      up ? lane(index, client, server) : lane(index, server, client),
    );
    // Both places: a connection older than the held bytes, and one younger.
    for (const at of Array.from({ length: ROUNDS }, (_, n) => (n % 2 === 0 ? lanes.length - 1 : 0))) {
      const slow = lanes[at];
      if (slow === undefined) throw new Error('no such tunnel');
      await round(
        slow,
        lanes.filter((one) => one !== slow),
      );
    }
    const told = lanes.map((one) => ({ bytes: one.gotBytes, hash: one.got.digest('hex') }));
    expect(told).toEqual(lanes.map((one) => ({ bytes: one.sentBytes, hash: one.sent.digest('hex') })));
    for (const { client } of tunnels) client.resetAndDestroy();
    await eventually(() => world.proxy.parts.scratch.waitingBytes === 0);
  });
});
