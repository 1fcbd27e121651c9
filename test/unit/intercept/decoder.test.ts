import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import zlib from 'node:zlib';
import { describe, expect, it, vi } from 'vitest';
import { HeldBytes, HeldShare } from '../../../src/base/held-bytes.ts';
import { Decoder } from '../../../src/intercept/decoder.ts';
import type { Coding } from '../../../src/wire/content-coding.ts';

const ROOMY = new HeldBytes();

/** Decodes the pieces one after the other. @returns what came out, and how it ended */
async function decode(
  coding: Coding,
  pieces: readonly Buffer[],
  held = ROOMY,
): Promise<{ text: string; how: string }> {
  const share = new HeldShare(held, 'g');
  let text = '';
  const { promise, resolve } = Promise.withResolvers<string>();
  const decoder = new Decoder(coding, share, {
    data: (bytes) => {
      text += bytes.toString('latin1');
    },
    end: () => resolve('end'),
    fail: resolve,
    drain: () => {},
  });
  for (const piece of pieces) {
    decoder.feed(piece);
    await new Promise(setImmediate);
  }
  decoder.end();
  const how = await promise;
  share.giveBack();
  return { text, how };
}

const CODINGS: readonly [Coding, (text: string | Buffer) => Buffer][] = [
  ['gzip', zlib.gzipSync],
  ['deflate', zlib.deflateSync],
  ['deflate', zlib.deflateRawSync],
  ['br', zlib.brotliCompressSync],
  ['zstd', zlib.zstdCompressSync],
];
const one = (whole: Buffer): Buffer[] => [whole];
const bytewise = (whole: Buffer): Buffer[] => Array.from(whole, (byte) => Buffer.from([byte]));

describe('a decoder', () => {
  it.each(CODINGS)('of %s takes what it decodes whole and byte by byte', async (coding, compress) => {
    const text = 'some words, '.repeat(40);
    for (const cut of [one, bytewise]) {
      expect(await decode(coding, cut(compress(text)))).toEqual({ text, how: 'end' });
    }
    expect(await decode(coding, [])).toEqual({ text: '', how: 'end' });
  });

  it('of a body in pieces of one byte takes few steps of its stream, and the bytes as they were', async () => {
    const text = randomBytes(3000).toString('hex');
    const steps: number[] = [];
    const create = zlib.createGunzip;
    const spy = vi.spyOn(zlib, 'createGunzip').mockImplementation(() => {
      const stream = create();
      const { transform } = { transform: stream._transform.bind(stream) };
      stream._transform = (bytes: Buffer, encoding, done) => {
        steps.push(bytes.length);
        transform(bytes, encoding, done);
      };
      return stream;
    });
    try {
      const share = new HeldShare(ROOMY, 'g');
      let got = '';
      const { promise, resolve } = Promise.withResolvers<string>();
      const decoder = new Decoder('gzip', share, {
        data: (bytes) => {
          got += bytes.toString('latin1');
        },
        end: () => resolve('end'),
        fail: resolve,
        drain: () => {},
      });
      const read = Buffer.alloc(1);
      for (const byte of zlib.gzipSync(text)) {
        read[0] = byte;
        decoder.feed(read);
      }
      decoder.end();
      expect([await promise, got]).toEqual(['end', text]);
      expect(steps.length).toBeLessThan(5);
      share.giveBack();
    } finally {
      spy.mockRestore();
    }
  });

  it.each(CODINGS)('of %s fails where the data is cut off or goes on', async (coding, compress) => {
    const data = compress('some words');
    for (const cut of [one, bytewise]) {
      expect((await decode(coding, cut(data.subarray(0, -2)))).how).toBe('bad');
      expect((await decode(coding, cut(Buffer.concat([data, Buffer.alloc(3)])))).how).toBe('bad');
      expect((await decode(coding, cut(Buffer.concat([data, Buffer.from('more')])))).how).toBe('bad');
    }
    expect((await decode(coding, [Buffer.concat([data, Buffer.alloc(40_000)])])).how).toBe('bad');
  });

  it.each([
    ['gzip', zlib.gzipSync],
    ['zstd', zlib.zstdCompressSync],
  ] as const)('of %s takes several in a row', async (coding, compress) => {
    const row = Buffer.concat([compress('one '), compress(''), compress('two '), compress('three')]);
    for (const cut of [one, bytewise]) {
      expect(await decode(coding, cut(row))).toEqual({ text: 'one two three', how: 'end' });
    }
  });

  it('takes no endless row of frames', async () => {
    const frame = zlib.zstdCompressSync('x');
    const row = (count: number): Buffer => Buffer.concat(Array.from({ length: count }, () => frame));
    expect((await decode('zstd', [row(256)])).how).toBe('end');
    expect((await decode('zstd', [row(1000)])).how).toBe('bad');
  });

  it('takes no larger window of zstd than RFC 9659 allows', async () => {
    const text = Buffer.alloc(1000, 'x');
    const wide = (log: number): Promise<Buffer> => {
      const stream = zlib.createZstdCompress({ params: { [zlib.constants.ZSTD_c_windowLog]: log } });
      const parts: Buffer[] = [];
      stream.on('data', (part: Buffer) => parts.push(part));
      stream.write(text);
      stream.end();
      return once(stream, 'end').then(() => Buffer.concat(parts));
    };
    expect((await decode('zstd', [await wide(23)])).how).toBe('end');
    expect((await decode('zstd', [await wide(25)])).how).toBe('bad');
  });

  it.each(CODINGS)('of %s stops at what is too good to be true', async (coding, compress) => {
    const { how, text } = await decode(coding, [compress(Buffer.alloc(30_000_000))]);
    expect(how).toBe('large');
    expect(text.length).toBeLessThan(7_000_000);
  });

  it('fails where its group has no room left, and has room again when others are done', async () => {
    const held = new HeldBytes(100 * 1024);
    const other = new HeldShare(held, 'g');
    expect(other.take(50 * 1024)).toBe(true);
    expect((await decode('gzip', [zlib.gzipSync('x')], held)).how).toBe('room');
    other.giveBack();
    expect((await decode('gzip', [zlib.gzipSync('x')], held)).how).toBe('end');
    // The windows of these may get large: what they hold is counted as it grows.
    const long = Buffer.from(Array.from({ length: 30_000 }, (_, at) => at).join(' '));
    expect((await decode('br', [zlib.brotliCompressSync(long)], held)).how).toBe('room');
    expect((await decode('gzip', [zlib.gzipSync(long)], held)).how).toBe('end');
    expect(held.total).toBe(0);
  });

  it('tells when it has enough, and when it takes more again', async () => {
    let drained = 0;
    const { promise, resolve } = Promise.withResolvers<void>();
    const decoder = new Decoder('gzip', new HeldShare(ROOMY, 'g'), {
      data: () => {},
      end: () => {},
      fail: () => {},
      drain: () => {
        drained += 1;
        resolve();
      },
    });
    const random = Buffer.from(Array.from({ length: 30_000 }, (_, at) => (at * 7919) % 256));
    const data = zlib.gzipSync(random, { level: 0 });
    decoder.feed(data.subarray(0, 15_000));
    decoder.feed(data.subarray(15_000, 29_000));
    expect(decoder.congested).toBe(false);
    decoder.feed(Buffer.concat([data.subarray(29_000), Buffer.alloc(0)]));
    decoder.feed(zlib.gzipSync(random, { level: 0 }));
    expect(decoder.congested).toBe(true);
    await promise;
    expect(decoder.congested).toBe(false);
    expect(drained).toBe(1);
    decoder.stop();
  });
});
