/** Frames: what is told of them, and what ends the stream. */
import { describe, expect, it } from 'vitest';
import { closeFrame, copyMasked, type Frame, FrameReader, wholeFrame } from '../../../src/wire/websocket.ts';

type Told = { frames: { opcode: number; fin: boolean; text: string }[]; fault: string | null };

function read(bytes: Buffer, from: 'client' | 'server' = 'client', deflate = false): Told {
  const told: Told = { frames: [], fault: null };
  let text = Buffer.alloc(0);
  let current: Frame | null = null;
  const reader = new FrameReader(
    { from, deflate },
    {
      frame: (frame) => {
        current = frame;
        text = Buffer.alloc(frame.length);
      },
      payload: (piece, at) => copyMasked(piece, { into: text, to: at, mask: current?.mask ?? 0, at }),
      end: ({ opcode, fin }) => told.frames.push({ opcode, fin, text: text.toString('latin1') }),
      fault: (detail) => {
        told.fault = detail;
      },
    },
  );
  reader.feed(bytes);
  return told;
}

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

describe('a frame', () => {
  it('of the examples of RFC 6455 section 5.7 is read', () => {
    expect(read(hex('81 85 37 fa 21 3d 7f 9f 4d 51 58')).frames).toEqual([
      { opcode: 1, fin: true, text: 'Hello' },
    ]);
    expect(read(hex('01 03 48 65 6c 80 02 6c 6f'), 'server').frames).toEqual([
      { opcode: 1, fin: false, text: 'Hel' },
      { opcode: 0, fin: true, text: 'lo' },
    ]);
    expect(read(hex('8a 85 37 fa 21 3d 7f 9f 4d 51 58')).frames[0]?.opcode).toBe(10);
  });

  it('may interrupt a message when it is a control frame', () => {
    const bytes = hex('01 80 00000000 89 80 00000000 00 80 00000000 80 80 00000000');
    expect(read(bytes)).toMatchObject({ fault: null, frames: { length: 4 } });
  });

  it.each([
    ['not masked by a client', '81 00', 'client'],
    ['masked by a server', '81 80 00000000', 'server'],
    ['with the second reserved bit', 'a1 80', 'client'],
    ['with the third reserved bit', '91 80', 'client'],
    ['compressed where nothing was agreed on', 'c1 80', 'client'],
    ['with opcode 3', '83 80', 'client'],
    ['with opcode 11', '8b 80', 'client'],
    ['a ping in two fragments', '09 80', 'client'],
    ['a ping of 126 bytes', '89 fe', 'client'],
    ['a compressed ping', 'c9 80', 'client'],
    ['half a close code', '88 81', 'client'],
    ['a continuation of nothing', '80 80', 'client'],
    ['a message inside another', '01 80 00000000 81 80', 'client'],
    ['125 bytes written in 16 bits', '81 fe 007d 00000000', 'client'],
    ['65535 bytes written in 64 bits', '81 ff 000000000000ffff 00000000', 'client'],
    ['a length with the sign bit', '81 ff 8000000000000000 00000000', 'client'],
    ['a length past every number', '81 ff 0020000000000000 00000000', 'client'],
  ] as const)('%s ends the stream', (_what, bytes, from) => {
    const told = read(Buffer.concat([hex(bytes), Buffer.alloc(64, 0x81)]), from);
    expect(told.fault).not.toBeNull();
    expect(told.frames.length).toBeLessThan(2);
  });

  it('is compressed on its first fragment alone', () => {
    expect(read(hex('41 80 00000000 80 80 00000000'), 'client', true).fault).toBeNull();
    expect(read(hex('41 80 00000000 c0 80'), 'client', true).fault).not.toBeNull();
  });

  it('is written in the shortest form for every length', () => {
    for (const [length, head] of [
      [0, 6],
      [125, 6],
      [126, 8],
      [65_535, 8],
      [65_536, 14],
    ] as const) {
      const whole = wholeFrame({ fin: true, rsv1: false, opcode: 2, mask: 7 }, Buffer.alloc(length, 'a'));
      expect(whole.length).toBe(head + length);
      expect(read(whole).frames).toEqual([{ opcode: 2, fin: true, text: 'a'.repeat(length) }]);
    }
  });

  it('of ours that closes carries its code and reason', () => {
    expect(closeFrame(1008, 'secret_leak').toString('hex')).toBe(
      `880d03f0${Buffer.from('secret_leak').toString('hex')}`,
    );
  });
});
