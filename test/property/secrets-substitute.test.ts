import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hasMarker, makePlaceholder, shapeOf } from '../../src/secrets/placeholder.ts';
import { basic, headOf, KEYS, seed, substitute, used, world } from '../unit/secrets/world.ts';

const { mine, holder, theirs } = world();
const OPENAI = holder('OPENAI_API_KEY');
const REAL = 'sk-proj-REAL-openai-0123456789abcdef';

const tchar = fc.constantFrom(...'abcXYZ019-_.'.split(''));
const vchar = fc
  .integer({ min: 0x20, max: 0xff })
  .map((code) => String.fromCharCode(code === 0x7f ? 0x20 : code));
const name = fc.string({ unit: tchar, minLength: 1, maxLength: 12 }).map((text) => `X-${text}`);
const text = fc.string({ unit: vchar, maxLength: 40 });
const field = fc.tuple(name, text).map(([key, value]) => `${key}: ${value}`);

/** Placeholders of several kinds among anything, at any place. */
const soup = fc
  .array(
    fc.oneof(
      { weight: 6, arbitrary: fc.string({ unit: 'binary', maxLength: 20 }) },
      fc.constantFrom('\r\n', ' ', ':', '?', '=', '&', '://', 'Authorization: Basic ', 'GET / HTTP/1.1\r\n'),
      fc.constantFrom(...KEYS.flatMap(({ env }) => [holder(env), theirs(env), basic(`u:${holder(env)}`)])),
    ),
    { maxLength: 12 },
  )
  .map((parts) => parts.join(''));

describe('substitution', () => {
  it('puts the key exactly where the placeholder stood and changes nothing else', () => {
    fc.assert(
      fc.property(fc.array(field, { maxLength: 8 }), name, text, text, fc.nat(8), (fields, key, a, b, at) => {
        const line = (value: string): string[] => fields.toSpliced(at, 0, `${key}: ${a}${value}${b}`);
        expect(substitute(mine, headOf(line(OPENAI)))).toBe(headOf(line(REAL)));
      }),
      { numRuns: 1000 },
    );
  });

  it('puts the key into Basic exactly where the placeholder stood', () => {
    fc.assert(
      fc.property(fc.array(field, { maxLength: 4 }), text, text, fc.nat(4), (fields, a, b, at) => {
        const line = (value: string): string[] => fields.toSpliced(at, 0, basic(a + value + b));
        expect(substitute(mine, headOf(line(OPENAI)))).toBe(headOf(line(REAL)));
      }),
    );
  });

  it('hands a head without placeholders back as it came', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(field, text.map(basic)), { maxLength: 8 }), (fields) => {
        const head = headOf(fields);
        expect(substitute(mine, head)).toBe(head);
      }),
    );
  });

  it('never throws, and never lets a placeholder through, whatever the head', () => {
    fc.assert(
      fc.property(soup, fc.constantFrom(...KEYS.map((key) => key.host), 'evil.example'), (head, host) => {
        const done = substitute(mine, head, { host });
        const passed = done === head || used(mine, head, host).length > 0;
        if (passed)
          for (const { env } of KEYS) {
            expect(done).not.toContain(holder(env));
            expect(done).not.toContain(theirs(env));
          }
      }),
      { numRuns: 1000 },
    );
  });

  it('never puts a key in without TLS or towards a host it is not bound to', () => {
    fc.assert(
      fc.property(soup, fc.boolean(), (head, secure) => {
        const done = secure
          ? substitute(mine, head, { host: 'evil.example' })
          : substitute(mine, head, { secure: false });
        for (const { value } of KEYS) expect(done).not.toContain(value?.toString('latin1'));
      }),
      { numRuns: 500 },
    );
  });
});

describe('a placeholder of any key', () => {
  const value = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 200 }),
    fc.string({ unit: 'grapheme-ascii', maxLength: 600 }),
    fc
      .tuple(fc.constantFrom('sk-', 'ghp_', 'AKIA', 'SG.', 's.', 'key-'), fc.base64String({ maxLength: 200 }))
      .map(([prefix, rest]) => prefix + rest),
  );

  it('is made without error, is deterministic and never the key itself', () => {
    fc.assert(
      fc.property(value, fc.uint8Array({ minLength: 32, maxLength: 32 }), (key, bytes) => {
        const shape = shapeOf(key);
        const made = makePlaceholder(Buffer.from(bytes), shape);
        expect(made).toBe(makePlaceholder(Buffer.from(bytes), shape));
        expect(made).not.toBe(key);
        expect(made.startsWith(shape.prefix)).toBe(true);
        expect(made.length).toBeGreaterThanOrEqual(Math.min(shape.length, 512));
        expect(made).toMatch(/^[\x21-\x7e]+$/);
      }),
      { numRuns: 500 },
    );
  });

  it('differs between identities', () => {
    fc.assert(
      fc.property(value, fc.string(), fc.string(), (key, one, other) => {
        fc.pre(one !== other);
        expect(makePlaceholder(seed(one), shapeOf(key))).not.toBe(makePlaceholder(seed(other), shapeOf(key)));
      }),
    );
  });

  it('is recognised as one when it is long enough', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[A-Za-z0-9]{40,100}$/), (key) => {
        expect(hasMarker(makePlaceholder(seed(key), { ...shapeOf(key), length: 64 }))).toBe(true);
      }),
    );
  });
});
