/** What the console makes of strangers' words: nothing hidden, nothing that turns the line around, nothing endless. */
import { describe, expect, it } from 'vitest';

type Words = {
  readonly visible: (text: string, lines?: boolean) => string;
  readonly shortened: (text: string, max?: number) => { shown: string; title: string | null };
  readonly spanText: (ms: number) => string;
  readonly bytesText: (count: number) => string;
};
type Chart = {
  barsOf(
    records: readonly { at: string; verdict: string }[],
    how: { now: number; spanMs: number; count: number },
  ): { at: number; allowed: number; refused: number }[];
};
type Proposals = {
  proposal(from: {
    host: string;
    records: readonly { stage: string; port: number | null; method: string | null; path: string | null }[];
  }): { yaml: string; seen: boolean; left: number } | null;
};

/** A module of the page, which has no types of its own. */
async function moduleOf(name: string): Promise<unknown> {
  const found: unknown = await import(new URL(`../../../src/admin/console/${name}`, import.meta.url).href);
  return found;
}

const words = (await moduleOf('text.js')) as Words;
const chart = (await moduleOf('chart.js')) as Chart;
const proposals = (await moduleOf('pages/propose.js')) as Proposals;

describe('words of strangers', () => {
  it.each([
    ['a right-to-left override', 'evil\u202ecod.exe', 'evil\\u{202e}cod.exe'],
    ['bidi isolates', '\u2066a\u2069', '\\u{2066}a\\u{2069}'],
    ['a terminal escape', '\u001b[31mred', '\\u{1b}[31mred'],
    ['zero-width characters', 'pay\u200bpal\ufeff', 'pay\\u{200b}pal\\u{feff}'],
    ['a line end', 'a\nb\r', 'a\\u{a}b\\u{d}'],
    ['a lone surrogate', 'a\ud800b', 'a\\u{d800}b'],
    ['tag characters', 'a\u{e0041}', 'a\\u{e0041}'],
    ['markup, which is text', '<img src=x onerror=alert(1)>', '<img src=x onerror=alert(1)>'],
    ['letters of every script', 'пример.例え', 'пример.例え'],
  ])('show %s as it is', (_name, text, shown) => {
    expect(words.visible(text)).toBe(shown);
  });

  it('keep their lines in a body alone', () => {
    expect(words.visible('a\n\tb', true)).toBe('a\n\\u{9}b');
  });

  it('are cut, with more of them in the title, which ends too', () => {
    expect(words.shortened('short')).toEqual({ shown: 'short', title: null });
    const { shown, title } = words.shortened('h'.repeat(10_240));
    expect(shown).toBe(`${'h'.repeat(120)}…`);
    expect(title).toContain('(10240 characters)');
    expect(title?.length).toBeLessThan(2_100);
  });
});

describe('numbers', () => {
  it('are said as people say them', () => {
    expect([45_000, 600_000, 7_500_000, 259_200_000].map(words.spanText)).toEqual([
      '45 s',
      '10 min',
      '2 h 5 min',
      '3 days',
    ]);
    expect([0, 1023, 1536, 5 * 1024 ** 3].map(words.bytesText)).toEqual([
      '0 B',
      '1023 B',
      '1.5 KiB',
      '5.0 GiB',
    ]);
  });
});

describe('bars over time', () => {
  it('count what falls into each span, and nothing from before or after', () => {
    const at = (ms: number): string => new Date(ms).toISOString();
    const records = [
      { at: at(100_000), verdict: 'allow' },
      { at: at(109_999), verdict: 'would_deny' },
      { at: at(110_000), verdict: 'deny' },
      { at: at(89_999), verdict: 'deny' },
      { at: at(120_000), verdict: 'deny' },
      { at: 'never', verdict: 'deny' },
      { at: at(111_000), verdict: 'approve' },
    ];
    expect(chart.barsOf(records, { now: 115_000, spanMs: 10_000, count: 3 })).toEqual([
      { at: 90_000, allowed: 0, refused: 0 },
      { at: 100_000, allowed: 2, refused: 0 },
      { at: 110_000, allowed: 0, refused: 1 },
    ]);
  });
});

describe('a proposed rule', () => {
  const request = { stage: 'request', port: 443, method: 'POST', path: '/v1/things?…' };

  it('has the methods and paths that were asked for, and further ports', () => {
    const records = [
      request,
      { ...request, method: 'GET', port: 8443 },
      { stage: 'connect', port: 443, method: 'CONNECT', path: null },
    ];
    expect(proposals.proposal({ host: 'api.test', records })?.yaml).toBe(
      '  - allow: "api.test"\n    ports: [443, 8443]\n    methods: [GET, POST]\n    paths: ["/v1/things"]\n',
    );
  });

  it('says how many paths are not in it', () => {
    const records = [
      request,
      { ...request, path: '/<b>' },
      { ...request, path: '/**' },
      { ...request, path: '/a"\n- allow: "*"' },
    ];
    expect(proposals.proposal({ host: 'api.test', records })).toMatchObject({ seen: true, left: 3 });
  });

  it.each(['evil.test", "*', '*', '*.evil.test', 'a b', 'x\ny', '', 'h'.repeat(300)])(
    'is not made for %j, which no rule may hold',
    (host) => {
      expect(proposals.proposal({ host, records: [] })).toBeNull();
    },
  );
});
