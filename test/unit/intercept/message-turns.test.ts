import zlib from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { MessageRewriter } from '../../../src/intercept/message-rewriter.ts';
import { MAX_MESSAGE_HITS, substituteMessage } from '../../../src/secrets/substitute.ts';
import { wholeFrame } from '../../../src/wire/websocket.ts';
import { authority, SHAPES, world } from '../secrets/world.ts';

/** Does one turn end before all of these bytes were read, with frames read whole? */
function turns(bytes: Buffer): number {
  const rewriter = new MessageRewriter({
    deflate: { takeover: false, windowBits: 15 },
    substitute: (text) => ({ kind: 'ok', text, used: [] }),
    search: () => ({ feed: () => null, end: () => null }),
    leaks: () => false,
    used: () => {},
    take: () => true,
    give: () => {},
    fail: (why) => {
      throw new Error(why.reason);
    },
  });
  let count = 0;
  for (let at = 0; at < bytes.length; count += 1) at += rewriter.feed(bytes.subarray(at));
  return count;
}

const many = (count: number, frame: { rsv1: boolean; opcode: number }, payload: Buffer): Buffer => {
  const one = wholeFrame({ fin: true, mask: 0x01_02_03_04, ...frame }, payload);
  return Buffer.concat(Array.from({ length: count }, () => one));
};

describe('one read of a client that is searched for placeholders', () => {
  it('takes several turns where it holds many small compressed messages', () => {
    const finishFlush = zlib.constants.Z_SYNC_FLUSH;
    const small = zlib.deflateRawSync(Buffer.from('a'), { finishFlush }).subarray(0, -4);
    expect(turns(many(1_000, { rsv1: true, opcode: 1 }, small))).toBeGreaterThan(20);
  });

  it.each([
    ['empty messages', 1],
    ['pings', 9],
  ])('takes several turns where it holds many %s', (_what, opcode) => {
    expect(turns(many(10_000, { rsv1: false, opcode }, Buffer.alloc(0)))).toBeGreaterThan(5);
  });

  it('takes one where it holds a few', () => {
    expect(turns(many(100, { rsv1: false, opcode: 1 }, Buffer.from('hello')))).toBe(1);
  });
});

describe('a message with very many placeholders', () => {
  const places = [{ kind: 'websocket' as const }];
  const host = 'gateway.test';
  const scene = world([{ env: 'KEY', shape: SHAPES.openai, host, places, value: Buffer.from('real-key') }]);
  const swapped = (count: number) =>
    substituteMessage({
      text: `${scene.holder('KEY')} `.repeat(count),
      bindings: scene.mine,
      at: authority(host),
      secure: true,
    });

  it('is refused before each of them is looked at', () => {
    expect(swapped(MAX_MESSAGE_HITS).kind).toBe('ok');
    expect(swapped(MAX_MESSAGE_HITS + 1)).toMatchObject({ kind: 'deny', reason: 'body_too_large' });
  });
});
