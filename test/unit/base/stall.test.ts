import { describe, expect, it } from 'vitest';
import { StallWatch } from '../../../src/base/stall.ts';

const IDLE = 10_000;

describe('StallWatch', () => {
  const scene = () => {
    const watch = new StallWatch();
    const client = { writableLength: 0, _handle: { writeQueueSize: 0 } };
    const upstream = { writableLength: 0 };
    const look = (now: number, activeAt: number) =>
      watch.look(now, { activeAt, idleMs: IDLE, client, upstream });
    return { client, upstream, look };
  };

  it('lets a flow live whose bytes move, however long it lasts', () => {
    const { look } = scene();
    for (let now = 0; now < 100 * IDLE; now += IDLE - 1) expect(look(now, now - 1)).toBeNull();
  });

  it('ends a flow in which nothing moves', () => {
    const { look } = scene();
    expect(look(IDLE - 1, 0)).toBeNull();
    expect(look(IDLE, 0)).toBe('quiet');
  });

  it('ends a flow whose client takes nothing, though the other way is busy', () => {
    const { client, look } = scene();
    client.writableLength = 100;
    expect(look(0, 0)).toBeNull();
    expect(look(IDLE - 1, IDLE - 1)).toBeNull();
    expect(look(IDLE, IDLE)).toBe('client');
  });

  it('ends a flow whose upstream takes nothing, though the other way is busy', () => {
    const { upstream, look } = scene();
    upstream.writableLength = 100;
    expect(look(0, 0)).toBeNull();
    expect(look(IDLE, IDLE)).toBe('upstream');
  });

  it('counts bytes that a slow receiver takes as movement', () => {
    const { client, look } = scene();
    client.writableLength = 1_000;
    for (let now = 0; now < 20 * IDLE; now += IDLE - 1) {
      expect(look(now, 0)).toBeNull();
      client.writableLength -= 10;
    }
  });

  it('sees bytes leave within one large write', () => {
    const { client, look } = scene();
    client.writableLength = 1_000;
    client._handle.writeQueueSize = 1_000;
    for (let now = 0; now < 20 * IDLE; now += IDLE - 1) {
      expect(look(now, 0)).toBeNull();
      client._handle.writeQueueSize -= 10;
    }
  });

  it('counts anew once everything was taken', () => {
    const { upstream, look } = scene();
    upstream.writableLength = 5;
    look(0, 0);
    upstream.writableLength = 0;
    look(IDLE - 1, 0);
    upstream.writableLength = 5;
    expect(look(IDLE, 0)).toBeNull();
    expect(look(2 * IDLE - 1, IDLE)).toBeNull();
    expect(look(2 * IDLE, 2 * IDLE)).toBe('upstream');
  });

  it('names the receiver where nothing moves at all', () => {
    const { client, look } = scene();
    client.writableLength = 5;
    expect(look(IDLE, 0)).toBe('client');
  });
});
