import { randomBytes } from 'node:crypto';
import zlib from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { Rotation } from '../../../src/base/rotation.ts';
import { MessageScrubber } from '../../../src/intercept/message-scrubber.ts';
import { ScrubTurns } from '../../../src/intercept/scrub-turns.ts';
import { PatternSet } from '../../../src/secrets/patterns.ts';
import { type ScrubSet, scrubPatterns } from '../../../src/secrets/scrub.ts';
import { SecretValue } from '../../../src/secrets/value.ts';
import { FrameReader, wholeFrame } from '../../../src/wire/websocket.ts';
import { eventually } from '../../helpers/world.ts';

const finishFlush = zlib.constants.Z_SYNC_FLUSH;
const BOMB_BYTES = 255 * 1024;
/** Some 280 bytes that become a quarter of a megabyte. */
const bomb = zlib.deflateRawSync(Buffer.alloc(BOMB_BYTES, 'a'), { finishFlush }).subarray(0, -4);

const many = (count: number, rsv1: boolean, payload: Buffer): Buffer => {
  const one = wholeFrame({ fin: true, rsv1, opcode: 1, mask: null }, payload);
  return Buffer.concat(Array.from({ length: count }, () => one));
};

const KEY = 'sk-proj-0123456789abcdefghijklmnopqrstuvwxyz';
const PLACEHOLDER = 'sk-proj-SLYPRTQX89abcdefghijklmnopqrstuvwxyz';
const keys = new PatternSet(
  scrubPatterns({
    env: 'KEY',
    placeholder: PLACEHOLDER,
    value: new SecretValue('KEY', Buffer.from(KEY)),
  }),
);

/** @param takes does the client want more after a write */
function scene(takes: () => boolean, patterns: ScrubSet = new PatternSet([])) {
  const told = { sent: 0, paused: 0, resumed: 0, ended: 0, room: 0, bytes: [] as Buffer[] };
  let now = 0;
  const clock = { now: () => 0, mono: () => ++now };
  const scrubber = new MessageScrubber({
    deflate: { takeover: false, serverTakeover: false, windowBits: 15 },
    patterns: () => patterns,
    found: () => {},
    take: (bytes) => {
      told.room += bytes;
      return true;
    },
    give: (bytes) => {
      told.room -= bytes;
    },
    fail: (why) => {
      throw new Error(why.reason);
    },
  });
  const turns = new ScrubTurns({
    scrubber,
    client: {
      write: (bytes) => {
        told.sent += bytes.length;
        told.bytes.push(Buffer.from(bytes));
        return takes();
      },
    },
    upstream: { pause: () => void ++told.paused, resume: () => void ++told.resumed },
    rotation: new Rotation(clock),
    party: 'client',
    ended: () => void ++told.ended,
    thrown: (error) => {
      throw error;
    },
  });
  return { turns, told };
}

describe('one read of an upstream whose messages are searched for keys', () => {
  it('with many small messages that become large is passed on in several turns, the upstream paused', async () => {
    const { turns, told } = scene(() => true);
    const read = many(200, true, bomb);
    turns.feed(read);
    // The buffer of a read is used again.
    read.fill(0xff);
    expect(told.sent).toBeLessThan(1024 * 1024);
    expect(told).toMatchObject({ paused: 1, resumed: 0 });
    expect(turns.end()).toBe(false);
    await eventually(() => told.ended === 1);
    expect(told.sent).toBeGreaterThan(200 * BOMB_BYTES);
  });

  it('waits for a client that takes no more', async () => {
    let takes = false;
    const { turns, told } = scene(() => takes);
    turns.feed(many(20, true, bomb));
    const first = told.sent;
    for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    expect(told.sent).toBe(first);
    expect(turns.drained()).toBe(false);
    await eventually(() => told.sent > first);
    takes = true;
    expect(turns.drained()).toBe(false);
    await eventually(() => told.resumed === 1);
    expect(turns.drained()).toBe(true);
  });

  /** Its escapes take a hundred times as long to search as words do. */
  // The first key stands on both sides of a cut.
  const unit = (): string => `${'\\\\'.repeat(16_370)} ${KEY} ${randomBytes(300).toString('hex')}`;
  const escapes = Buffer.from(Array.from({ length: 60 }, unit).join(' '));
  const compressed = many(1, true, zlib.deflateRawSync(escapes, { finishFlush }).subarray(0, -4));

  it('with one message that becomes two megabytes is searched and passed on in several turns', async () => {
    const { turns, told } = scene(() => true, keys);
    turns.feed(compressed);
    expect(told.sent).toBeLessThan(256 * 1024);
    expect(told.room).toBeGreaterThan(escapes.length - 128 * 1024);
    expect(turns.end()).toBe(false);
    await eventually(() => told.ended === 1);
    expect(told.room).toBe(0);
    const text: string[] = [];
    const sink = {
      frame: () => {},
      end: () => {},
      fault: (detail: string) => Promise.reject(new Error(detail)),
    };
    const reader = new FrameReader(
      { from: 'server', deflate: false },
      { ...sink, payload: (bytes) => void text.push(bytes.toString('latin1')) },
    );
    reader.feed(Buffer.concat(told.bytes));
    expect(text.join('') === escapes.toString().replaceAll(KEY, PLACEHOLDER)).toBe(true);
  });

  it('that is over while a message is half searched says no more, and gives its room back', async () => {
    const { turns, told } = scene(() => true, keys);
    turns.feed(compressed);
    const { sent } = told;
    turns.stop();
    for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    expect(told).toMatchObject({ sent, room: 0, ended: 0 });
  });

  it('with many empty messages is passed on in several turns as well', () => {
    const { turns, told } = scene(() => true);
    turns.feed(many(10_000, false, Buffer.alloc(0)));
    expect(told.sent).toBeLessThan(2 * 2_000);
  });
});
