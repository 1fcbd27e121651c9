/** Random bodies, formats and cuts: the key arrives exactly where its placeholder stood, and nothing else changes. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { holder, jsonAll, percentAll, REAL, send, theirs } from '../unit/secrets/bodies.ts';

const ODD = holder('ODD');
const cuts = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 6 });
const text = fc.string({ unit: 'binary', maxLength: 60 }).map((one) => one.replace(/[^\x00-\xff]/g, '?'));
/** No escapes, whose ends a placeholder beside them could become. */
const calm = text.map((one) => one.replace(/[%\\]/g, '.'));
const TYPES: Readonly<Record<string, string>> = {
  'text/plain': REAL,
  'application/json': JSON.stringify(REAL).slice(1, -1),
  'application/x-www-form-urlencoded': encodeURIComponent(REAL),
};
const type = fc.constantFrom(...Object.keys(TYPES));

describe('a body', () => {
  it('holds the key exactly where the placeholder stood, however it is cut', () => {
    fc.assert(
      fc.property(type, fc.array(calm, { minLength: 2, maxLength: 4 }), cuts, (name, parts, lengths) => {
        // What begins like UTF-16 gets none.
        fc.pre(!/^(?:\xff\xfe|\xfe\xff|.{0,3}\0)/s.test(parts[0] ?? ''));
        const sent = send(name, parts.join(ODD), lengths);
        expect(sent).toMatchObject({ reason: null, body: parts.join(TYPES[name]) });
      }),
      { numRuns: 3000 },
    );
  });

  it('without placeholders goes up as it came', () => {
    const beginnings = fc.nat(ODD.length - 18).map((length) => ODD.slice(0, length));
    const soup = fc.array(fc.oneof(text, beginnings, fc.constantFrom('%', '\\', '%5', '\\u00')), {
      maxLength: 8,
    });
    fc.assert(
      fc.property(type, soup, cuts, (name, parts, lengths) => {
        const body = parts.join('');
        // A beginning that is long enough to be known as a placeholder's is another case.
        fc.pre(!/SLYPRTQX/i.test(body));
        expect(send(name, body, lengths)).toMatchObject({ reason: null, body });
      }),
      { numRuns: 2000 },
    );
  });

  it('is refused with another identity’s placeholder, wherever, however spelt and cut', () => {
    const spelt = fc.constantFrom(theirs('TOKEN'), percentAll(theirs('TOKEN')), jsonAll(theirs('TOKEN')));
    fc.assert(
      fc.property(type, calm, spelt, calm, cuts, (name, before, one, after, lengths) => {
        const sent = send(name, before + one + after, lengths);
        expect(sent.reason).toBe('placeholder_unknown');
      }),
      { numRuns: 1000 },
    );
  });

  it('of several parts is the same however it is cut', () => {
    const piece = fc.constantFrom(
      '\r\n',
      '--B0',
      '--',
      'X: y',
      '\r\n\r\n',
      '\r\n--B0\r\n',
      'Content-Type: image/png',
      ODD,
      'a',
    );
    const multipart = 'multipart/form-data; boundary=B0';
    fc.assert(
      fc.property(fc.array(fc.oneof(piece, text), { maxLength: 16 }), cuts, (parts, lengths) => {
        const body = `--B0\r\n\r\n${parts.join('')}`;
        const whole = send(multipart, body);
        const inPieces = send(multipart, body, lengths);
        expect(inPieces.reason).toBe(whole.reason);
        if (whole.reason === null) expect(inPieces.body).toBe(whole.body);
      }),
      { numRuns: 2000 },
    );
  });
});
