import { decode, encode, type Packet } from 'dns-packet';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type DnsQuestion,
  encodeAnswer,
  encodeProblem,
  readQuestion,
} from '../../../src/accept/dns-message.ts';

const query = (more: Packet = {}): Buffer =>
  encode({
    type: 'query',
    id: 77,
    flags: 0x100,
    questions: [{ type: 'A', class: 'IN', name: 'Api.Test' }],
    ...more,
  });

function question(bytes: Buffer): DnsQuestion {
  const read = readQuestion(bytes);
  if (read === null || 'rcode' in read) throw new Error('no question');
  return read;
}

describe('a question', () => {
  it('is read with its spelling', () => {
    expect(question(query())).toMatchObject({ id: 77, name: 'Api.Test', type: 'A' });
  });

  it('may carry EDNS, which is passed over', () => {
    const opt = { type: 'OPT' as const, name: '.', udpPayloadSize: 4096, flags: 0, options: [] };
    const bytes = query({ additionals: [{ ...opt, extendedRcode: 0, ednsVersion: 0, flag_do: false }] });
    expect(question(bytes).name).toBe('Api.Test');
  });

  it('is all that is read: records behind it may promise and point as they like', () => {
    const bytes = Buffer.concat([query(), Buffer.alloc(60_000, 0xc0)]);
    bytes.fill(0xff, 6, 12);
    expect(question(bytes).name).toBe('Api.Test');
  });

  it.each([
    ['two questions', query({ questions: [1, 2].map(() => ({ type: 'A', name: 'a.test' })) }), 'formerr'],
    ['none', query({ questions: [] }), 'formerr'],
    ['a class that is not IN', query({ questions: [{ type: 'A', class: 'CH', name: 'a.test' }] }), 'notimp'],
    ['a header alone that promises more', query().subarray(0, 12), 'formerr'],
    ['an update', query({ flags: 5 << 11 }), 'notimp'],
  ])('%s is answered as what it is', (_what, bytes, rcode) => {
    const read = readQuestion(bytes);
    expect(read).toEqual({ rcode, id: 77 });
    const reply = decode(encodeProblem({ rcode: rcode === 'notimp' ? 'notimp' : 'formerr', id: 77 }));
    expect(reply).toMatchObject({ type: 'response', id: 77, rcode: rcode.toUpperCase() });
  });

  it('a response, or less than a header, is not answered at all', () => {
    expect(readQuestion(encode({ type: 'response', id: 1, questions: [] }))).toBeNull();
    expect(readQuestion(Buffer.alloc(11))).toBeNull();
  });

  it('of any bytes throws nothing', () => {
    const bytes = fc.uint8Array({ maxLength: 120 }).map((all) => Buffer.from(all));
    fc.assert(
      fc.property(bytes, fc.nat(29), (random, at) => {
        readQuestion(random);
        const bent = Buffer.from(query());
        bent[at % bent.length] = random[0] ?? 0;
        const read = readQuestion(bent);
        if (read !== null && !('rcode' in read)) encodeAnswer(read, 'nxdomain');
      }),
      { numRuns: 500 },
    );
  });
});

describe('an answer', () => {
  it('repeats id, question and spelling, and gives the address for a short while', () => {
    const reply = decode(encodeAnswer(question(query()), { address: '172.25.0.1' }));
    expect(reply).toMatchObject({ id: 77, rcode: 'NOERROR', flag_aa: true, flag_ra: true, flag_rd: true });
    expect(reply.questions).toEqual([{ name: 'Api.Test', type: 'A', class: 'IN' }]);
    expect(reply.answers).toMatchObject([{ name: 'Api.Test', type: 'A', ttl: 30, data: '172.25.0.1' }]);
  });

  it('of an IPv6 address is AAAA', () => {
    const asked = question(query({ questions: [{ type: 'AAAA', name: 'a.test' }] }));
    expect(decode(encodeAnswer(asked, { address: 'fd00::1' })).answers).toMatchObject([
      { type: 'AAAA', data: 'fd00::1' },
    ]);
  });

  it.each([
    ['nodata', 'NOERROR'],
    ['nxdomain', 'NXDOMAIN'],
    ['refused', 'REFUSED'],
  ] as const)('%s holds no record', (answer, rcode) => {
    expect(decode(encodeAnswer(question(query()), answer))).toMatchObject({ rcode, answers: [] });
  });
});
