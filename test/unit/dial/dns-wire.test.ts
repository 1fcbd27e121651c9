import { type Answer, decode, encode } from 'dns-packet';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeQuery, type Question, readReply } from '../../../src/dial/dns-wire.ts';

const asked: Question = { id: 7, name: 'api.example.com', type: 'A' };

function reply(
  over: { id?: number; flags?: number; name?: string; answers?: Answer[]; query?: boolean } = {},
) {
  return encode({
    type: over.query === true ? 'query' : 'response',
    id: over.id ?? 7,
    flags: over.flags ?? 0x180,
    questions: [{ name: over.name ?? 'api.example.com', type: 'A', class: 'IN' }],
    answers: over.answers ?? [{ name: 'api.example.com', type: 'A', ttl: 60, data: '192.0.2.1' }],
  });
}

describe('a DNS query', () => {
  it('asks one question, recursion desired, without search domains', () => {
    const packet = decode(encodeQuery(asked));
    expect(packet).toMatchObject({ id: 7, type: 'query', flag_rd: true });
    expect(packet.questions).toEqual([{ name: 'api.example.com', type: 'A', class: 'IN' }]);
  });
});

describe('a DNS reply', () => {
  it('gives the addresses and the smallest TTL', () => {
    const answers: Answer[] = [
      { name: 'API.example.com', type: 'A', ttl: 60, data: '192.0.2.1' },
      { name: 'api.example.com', type: 'A', ttl: 20, data: '192.0.2.2' },
      { name: 'api.example.com', type: 'A', ttl: 20, data: '192.0.2.2' },
    ];
    expect(readReply(reply({ answers }), asked)).toEqual({
      kind: 'addresses',
      addresses: ['192.0.2.1', '192.0.2.2'],
      ttlS: 20,
    });
  });

  it('follows aliases inside the answer and ignores what belongs to other names', () => {
    const answers: Answer[] = [
      { name: 'edge.cdn.test', type: 'A', ttl: 300, data: '192.0.2.9' },
      { name: 'api.example.com', type: 'CNAME', ttl: 5, data: 'Edge.CDN.test' },
      { name: 'unasked.test', type: 'A', ttl: 300, data: '127.0.0.1' },
    ];
    expect(readReply(reply({ answers }), asked)).toEqual({
      kind: 'addresses',
      addresses: ['192.0.2.9'],
      ttlS: 5,
    });
  });

  it.each([8, 9])('follows at most 8 aliases (%i)', (length) => {
    const names = ['api.example.com', ...Array.from({ length }, (_, i) => `n${i}.test`)];
    const answers: Answer[] = names
      .slice(1)
      .map((data, i) => ({ name: names[i] ?? '', type: 'CNAME', ttl: 60, data }));
    answers.push({ name: names.at(-1) ?? '', type: 'A', ttl: 60, data: '192.0.2.1' });
    expect(readReply(reply({ answers }), asked)?.kind).toBe(length === 8 ? 'addresses' : 'failed');
  });

  it.each([
    ['another id', reply({ id: 8 })],
    ['another question', reply({ name: 'evil.example.com' })],
    ['a query', reply({ query: true })],
    ['garbage', Buffer.from('no DNS')],
    ['nothing', Buffer.alloc(0)],
  ])('does not count when it is %s', (_what, bytes) => {
    expect(readReply(bytes, asked)).toBeNull();
  });

  it.each([
    ['NXDOMAIN', { flags: 0x183, answers: [] }, { kind: 'none', nxdomain: true }],
    ['NODATA', { answers: [] }, { kind: 'none', nxdomain: false }],
    ['SERVFAIL', { flags: 0x182, answers: [] }, { kind: 'failed' }],
    ['REFUSED', { flags: 0x185, answers: [] }, { kind: 'failed' }],
    ['a lame referral', { flags: 0x100, answers: [] }, { kind: 'failed' }],
    ['truncation', { flags: 0x380 }, { kind: 'truncated' }],
  ])('tells %s apart', (_what, over, expected) => {
    expect(readReply(reply(over), asked)).toEqual(expected);
  });

  it('with more records than can be judged is a failure, not a selection', () => {
    const answers: Answer[] = Array.from({ length: 257 }, (_, i) => ({
      name: 'api.example.com',
      type: 'A',
      ttl: 60,
      data: `192.0.${i >> 8}.${i & 255}`,
    }));
    expect(readReply(reply({ answers }), asked)).toEqual({ kind: 'failed' });
    expect(readReply(reply({ answers: answers.slice(1) }), asked)?.kind).toBe('addresses');
  });

  it('counts a TTL with the top bit set as zero', () => {
    const answers: Answer[] = [{ name: 'api.example.com', type: 'A', ttl: 0xffffffff, data: '192.0.2.1' }];
    expect(readReply(reply({ answers }), asked)).toMatchObject({ ttlS: 0 });
  });

  it('never throws, whatever the bytes', () => {
    const good = reply();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), fc.nat(good.length), (noise, at) => {
        readReply(Buffer.from(noise), asked);
        readReply(Buffer.concat([good.subarray(0, at), Buffer.from(noise)]), asked);
      }),
      { numRuns: 1000 },
    );
  });
});
