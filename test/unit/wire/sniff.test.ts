import { Buffer } from 'node:buffer';
import { describe, expect, it } from 'vitest';
import { sniff } from '../../../src/wire/sniff.ts';

describe('sniff', () => {
  it.each([
    ['GET / HTTP/1.1', 'http1'],
    ['c', 'http1'],
    ['\r\nGET', 'http1'],
    ['\n', 'http1'],
    [' GET', 'http1'],
    ['\u0016\u0003\u0001', 'tls'],
    ['\u0005\u0001\u0000', 'socks5'],
    ['\u0004\u0001', 'unknown'],
    ['\u0000', 'unknown'],
    ['\u0015\u0003', 'unknown'],
    ['\u0080\u002e\u0001', 'unknown'],
    ['\t', 'unknown'],
    ['\u007f', 'unknown'],
    ['', 'unknown'],
  ])('%j is %s', (text, expected) => {
    expect(sniff(Buffer.from(text, 'latin1'))).toBe(expected);
  });
});
