import { expect, it } from 'vitest';
import { MessageRewriter } from '../../../src/intercept/message-rewriter.ts';
import { wholeFrame } from '../../../src/wire/websocket.ts';

const MESSAGES = 200;
const HEAD_BYTES = 6;

it('every message goes on under a mask of its own', () => {
  const rewriter = new MessageRewriter({
    deflate: null,
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
  const frame = wholeFrame({ fin: true, rsv1: false, opcode: 1, mask: 0x01_02_03_04 }, Buffer.from('same'));
  const sent: Buffer[] = [];
  for (let count = 0; count < MESSAGES; count++) {
    rewriter.feed(frame);
    rewriter.flush({ write: (bytes) => sent.push(Buffer.from(bytes)) > 0 });
  }
  const masks = sent.map((bytes) => bytes.readUInt32BE(HEAD_BYTES - 4));
  // Of 200 draws out of 2^32 two are alike once in 200,000 runs: one such pair is let pass.
  expect(new Set(masks).size).toBeGreaterThanOrEqual(MESSAGES - 1);
});
