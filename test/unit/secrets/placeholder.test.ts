import { describe, expect, it } from 'vitest';
import {
  ALPHABETS,
  findMarkers,
  hasMarker,
  MARKER,
  makePlaceholder,
  type Shape,
  shapeOf,
} from '../../../src/secrets/placeholder.ts';
import { seed } from './world.ts';

const r = (length: number, alphabet: string = ALPHABETS.base62): string =>
  makePlaceholder(seed(`value ${length}`), { prefix: '', length: Math.max(40, length), alphabet }).slice(
    -length,
  );

describe('the shape of a key', () => {
  it.each([
    ['Anthropic', `sk-ant-api03-${r(95)}`, 'sk-ant-api03-'],
    ['OpenAI project', `sk-proj-${r(48)}`, 'sk-proj-'],
    ['OpenAI', `sk-${r(48)}`, 'sk-'],
    ['GitHub', `ghp_${r(36)}`, 'ghp_'],
    ['GitHub fine-grained', `github_pat_${r(22)}_${r(59)}`, 'github_pat_'],
    ['GitHub App', `ghs_${r(36)}`, 'ghs_'],
    ['Slack bot', `xoxb-123456789012-1234567890123-${r(24)}`, 'xoxb-'],
    ['AWS', `AKIA${r(16, ALPHABETS.base32)}`, 'AKIA'],
    ['Google', `AIzaSy${r(33)}`, 'AIzaSy'],
    ['SendGrid', `SG.${r(22)}.${r(43)}`, 'SG.'],
    ['Twilio', `AC${r(32, ALPHABETS.hex)}`, 'AC'],
    ['GitLab', `glpat-${r(20)}`, 'glpat-'],
    ['Hugging Face', `hf_${r(34)}`, 'hf_'],
    ['npm', `npm_${r(36)}`, 'npm_'],
    ['PyPI', `pypi-${r(160)}`, 'pypi-'],
    ['Stripe', `sk_live_${r(24)}`, 'sk_live_'],
    ['Stripe webhook', `whsec_${r(32)}`, 'whsec_'],
    ['Telegram', `123456789:${r(35, ALPHABETS.base64url)}`, '123456789:'],
    ['nothing known', r(40), ''],
  ])('keeps the public beginning and the length of a key: %s', (_issuer, value, prefix) => {
    const shape = shapeOf(value);
    expect(shape.prefix).toBe(prefix);
    const made = makePlaceholder(seed('x'), shape);
    expect(made.startsWith(prefix)).toBe(true);
    expect(made).not.toBe(value);
    if (value.length - prefix.length >= 32) expect(made).toHaveLength(value.length);
  });

  it.each([
    ['digits', '1234567890123456789012345678901234567890', /^\d+$/],
    ['lower-case hex', 'deadbeef0123456789abcdef0123456789abcdef', /^[0-9a-f]+$/],
    ['upper-case hex', 'DEADBEEF0123456789ABCDEF0123456789ABCDEF', /^[0-9A-F]+$/],
    ['lower case and digits', 'zyxwvutsrq0123456789abcdefghijkl', /^[0-9a-z]+$/],
    ['upper case and digits', 'ZYXWVUTSRQ0189ABCDEFGHIJKLMNOPQR', /^[0-9A-Z]+$/],
    ['base64url', 'ab-cd_EF0123456789abcdefghijklmnopqr', /^[\w-]+$/],
    ['base64 with padding', 'ab+cd/EF0123456789abcdefghijklmnopqrst==', /^[0-9A-Za-z]+==$/],
    ['a UUID', '0f8fad5b-d9cb-469f-a165-70867728950e', /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/],
    [
      'three dotted parts',
      `eyJhbGciOiJIUzI1NiJ9.${'a1B'.repeat(20)}.${'c2D'.repeat(14)}`,
      /^eyJhbGciOiJIUzI1NiJ9\.\w{60}\.\w{42}$/,
    ],
  ])('keeps the alphabet and separators of %s', (_what, value, form) => {
    const made = makePlaceholder(seed(value), shapeOf(value));
    expect(made).toMatch(form);
    expect(made).toHaveLength(value.length);
  });

  it('of a long text is cut, not refused', () => {
    expect(shapeOf('a'.repeat(10_000)).length).toBeLessThanOrEqual(512);
  });
});

describe('a placeholder', () => {
  const shape: Shape = { prefix: 'sk-', length: 51, alphabet: ALPHABETS.base62 };

  it('is the same for the same seed and another for another', () => {
    expect(makePlaceholder(seed('a'), shape)).toBe(makePlaceholder(seed('a'), shape));
    expect(makePlaceholder(seed('a'), shape)).not.toBe(makePlaceholder(seed('b'), shape));
  });

  it('carries the marker where there is room for it', () => {
    expect(makePlaceholder(seed('a'), shape)).toMatch(new RegExp(`^sk-${MARKER}`));
    expect(hasMarker(makePlaceholder(seed('a'), { ...shape, alphabet: ALPHABETS.lower }))).toBe(true);
    expect(hasMarker(makePlaceholder(seed('a'), { ...shape, length: 70, alphabet: ALPHABETS.hex }))).toBe(
      true,
    );
  });

  it('leaves the marker out rather than bits', () => {
    const made = makePlaceholder(seed('a'), { prefix: 'AC', length: 34, alphabet: ALPHABETS.hex });
    expect(made).toHaveLength(34);
    expect(hasMarker(made)).toBe(false);
  });

  it.each(Object.entries(ALPHABETS))(
    'of a key too short for 128 bits is longer than the key: %s',
    (_name, alphabet) => {
      const made = makePlaceholder(seed('a'), { prefix: 'k-', length: 10, alphabet });
      expect((made.length - 2) * Math.log2(alphabet.length)).toBeGreaterThanOrEqual(128);
      expect(
        made
          .slice(2)
          .split('')
          .every((char) => alphabet.includes(char)),
      ).toBe(true);
    },
  );

  it('does not get stuck on an alphabet of one letter', () => {
    expect(makePlaceholder(seed('a'), { prefix: '', length: 40, alphabet: 'aaa' }).length).toBe(40);
  });

  it('needs a whole seed', () => {
    expect(() => makePlaceholder(Buffer.alloc(31), shape)).toThrow(RangeError);
  });

  it('uses the seed evenly: no letter is twice as frequent as it should be', () => {
    const counts = new Map<string, number>();
    for (let round = 0; round < 400; round += 1) {
      const made = makePlaceholder(seed(`round ${round}`), {
        prefix: '',
        length: 108,
        alphabet: ALPHABETS.base62,
      });
      for (const char of made.slice(MARKER.length)) counts.set(char, (counts.get(char) ?? 0) + 1);
    }
    const expected = (400 * (108 - MARKER.length)) / 62;
    expect(counts.size).toBe(62);
    for (const count of counts.values()) expect(Math.abs(count - expected) / expected).toBeLessThan(0.25);
  });
});

describe('the marker', () => {
  it('is found at every place and in any case', () => {
    const text = `a${MARKER}b${MARKER.toLowerCase()}c5a11b0275a11`;
    expect(findMarkers(text).map(({ start, end }) => text.slice(start, end))).toEqual([
      MARKER,
      MARKER.toLowerCase(),
      '5a11b0275a11',
    ]);
  });

  it('is not found in ordinary text', () => {
    expect(hasMarker('Authorization: Bearer sk-proj-abcdef 5a11')).toBe(false);
  });
});
