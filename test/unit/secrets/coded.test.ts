/** What stands in base64 or hex in a head, a message, a trailer or a body: placeholders by their marker, keys by themselves. */
import { createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { holdsLeak } from '../../../src/secrets/hidden.ts';
import { MARKER } from '../../../src/secrets/placeholder.ts';
import { tailSum } from '../../../src/secrets/revoked.ts';
import { withKeyNames } from '../../../src/secrets/shown.ts';
import { substituteMessage } from '../../../src/secrets/substitute.ts';
import { checkTrailers } from '../../../src/secrets/trailers.ts';
import { authority, basic, headOf, KEYS, substitute, world } from './world.ts';

const { mine, holder, theirs } = world();
const GITHUB = holder('GITHUB_TOKEN');
/** Of 32 hex digits: there is no room for a marker. */
const UNMARKED = holder('TWILIO_SID');
const REAL = 'ghp_REALgithub0123456789abcdefghijklmnop';

const base64 = (text: string): string => Buffer.from(text, 'latin1').toString('base64');
const hex = (text: string): string => Buffer.from(text, 'latin1').toString('hex');
const percent = (text: string): string => hex(text).replace(/../g, '%$&');
const escaped = (text: string): string => hex(text).replace(/../g, '\\u00$&');
const BEFORE = ['', 'u', 'u:', 'x-token:'];

describe('a placeholder in base64', () => {
  const places: Readonly<Record<string, (code: string) => string>> = {
    'a header': (code) => headOf([`X-Key: ${code}`]),
    'a header, as bearer': (code) => headOf([`Authorization: Bearer ${code}`]),
    'User-Agent': (code) => headOf([`User-Agent: ${code}`]),
    'a cookie among others': (code) => headOf([`Cookie: a=b; s=${code}; c=d`]),
    'the path': (code) => headOf([], `GET /a/${code}/b HTTP/1.1`),
    'the query': (code) => headOf([], `GET /?k=${code}&l=m HTTP/1.1`),
    'the query, percent-encoded': (code) => headOf([], `GET /?k=${percent(code)}&l=m HTTP/1.1`),
    'Basic, for the second time': (code) => headOf([basic(`u:${code}`)]),
    'another field beside Basic': (code) => headOf([basic('user:password'), `X: ${code}`]),
  };

  it.each(Object.entries(places))('is refused in %s, behind any number of bytes', (_place, build) => {
    for (const before of BEFORE) {
      for (const text of [GITHUB, theirs('GITHUB_TOKEN'), UNMARKED, `sk-${MARKER}abcdefghijklmnop`]) {
        const head = build(base64(`${before}${text}:more`));
        expect(substitute(mine, head, { host: 'github.com' })).toMatch(/^placeholder_wrong_(?:place|host)$/);
      }
    }
  });

  it.each([
    ['without padding', (text: string) => base64(text).replace(/=+$/, '')],
    ['in the alphabet of URLs', (text: string) => Buffer.from(text).toString('base64url')],
    ['of lower-case letters', (text: string) => base64(text.toLowerCase())],
    ['of upper-case letters', (text: string) => base64(text.toUpperCase())],
  ])('is refused %s', (_how, code) => {
    for (const before of BEFORE) {
      const head = headOf([`X: ${code(before + GITHUB)}`]);
      expect(substitute(mine, head, { host: 'github.com' })).toBe('placeholder_wrong_place');
    }
  });

  it('is told apart by its host where it has no marker, and by nothing where it has one', () => {
    const at = (text: string): string => substitute(mine, headOf([`X: ${base64(text)}`]));
    expect(at(UNMARKED)).toBe('placeholder_wrong_host');
    expect(at(theirs('TWILIO_SID'))).toBe('placeholder_unknown');
    expect(at(GITHUB)).toBe('placeholder_wrong_place');
  });

  it('is swapped in Basic all the same, also beside percent signs', () => {
    const head = (key: string): string => headOf([basic(`u:${key}`), 'X: 100%25'], 'GET /a%2Fb HTTP/1.1');
    expect(substitute(mine, head(GITHUB), { host: 'github.com' })).toBe(head(REAL));
    const sid = 'AC0123456789abcdef0123456789abcdef';
    expect(substitute(mine, head(UNMARKED), { host: 'api.twilio.com' })).toBe(head(sid));
  });

  it.each([
    ['percent-encoded', percent],
    ['percent-encoded twice', (text: string) => percent(percent(text))],
  ])('is refused inside Basic where it is %s there', (_how, write) => {
    const head = headOf([basic(`u:${write(GITHUB)}`)]);
    expect(substitute(mine, head, { host: 'github.com' })).toBe('placeholder_wrong_place');
  });

  it('is no reason to refuse what only begins like one', () => {
    for (const text of ['SLYPRTQ', 'SLY PRTQX', '5a11b0275a', 'hello world, this is a text']) {
      const head = headOf([`X: ${base64(text)}`, `Y: ${base64(`u:${text}:p`)}`]);
      expect(substitute(mine, head)).toBe(head);
    }
  });

  it('is refused in hex of either case as well', () => {
    for (const text of [GITHUB, GITHUB.toLowerCase(), theirs('GITHUB_TOKEN'), UNMARKED]) {
      for (const code of [hex(`u:${text}`), hex(`u:${text}`).toUpperCase()]) {
        for (const [name, build] of Object.entries(places))
          expect(substitute(mine, build(code), { host: 'github.com' }), name).toMatch(
            /^placeholder_wrong_(?:place|host)$/,
          );
        const message = {
          text: `{"k":"${code}"}`,
          bindings: mine,
          at: authority('github.com'),
          secure: true,
        };
        expect(substituteMessage(message)).toMatchObject({
          reason: text === UNMARKED ? 'placeholder_wrong_host' : 'placeholder_wrong_place',
        });
      }
    }
  });

  it('is refused in a message and in a trailer', () => {
    for (const before of BEFORE) {
      const code = base64(before + GITHUB);
      const message = { text: `{"k":"${code}"}`, bindings: mine, at: authority('github.com'), secure: true };
      expect(substituteMessage(message)).toMatchObject({ reason: 'placeholder_wrong_place' });
      expect(checkTrailers(`\r\nX: ${code}`, mine)).toMatchObject({ reason: 'placeholder_wrong_place' });
    }
  });
});

describe('a message', () => {
  const reasonOf = (text: string): unknown => {
    const done = substituteMessage({ text, bindings: mine, at: authority('github.com'), secure: true });
    return 'reason' in done ? done.reason : done.text;
  };

  it.each([
    ['percent-encoded', percent],
    ['percent-encoded twice', (text: string) => percent(percent(text))],
    ['JSON-escaped', escaped],
    ['JSON-escaped in JSON', (text: string) => escaped(text).replaceAll('\\', '\\\\')],
  ])('with a placeholder or a key that is %s without need is refused', (_how, write) => {
    expect(reasonOf(`{"k":"${write(GITHUB)}"}`)).toBe('placeholder_wrong_place');
    expect(reasonOf(`{"k":"${write(theirs('GITHUB_TOKEN'))}"}`)).toBe('placeholder_unknown');
    expect(reasonOf(`{"k":"${write(REAL)}"}`)).toBe('secret_leak');
  });

  it('that escapes other things passes', () => {
    const text = '{"k":"\\u00e9 \\/ %41 100% \\n \\u20ac"}';
    expect(reasonOf(text)).toBe(text);
  });
});

describe('a real key', () => {
  const digest = (bytes: Buffer): string => createHmac('sha256', 'k').update(bytes).digest('hex');
  const digestOf = (text: string) => {
    const value = Buffer.from(text, 'latin1');
    const matches = (candidate: Buffer): boolean => digest(candidate) === digest(value);
    return { length: value.length, tail: tailSum(value), matches };
  };
  const old = 'ghp_OLDgithub0123456789abcdefghijklmnopq';
  const after = world(KEYS, [digestOf(old), digestOf('a-shorter-one-16')]);

  it('in a trailer is a leak, percent-encoded, too', () => {
    for (const text of [REAL, percent(REAL), percent(percent(REAL)), base64(REAL)])
      expect(checkTrailers(`\r\nX: ${text}`, mine)).toMatchObject({ reason: 'secret_leak' });
  });

  it.each([
    ['base64', base64],
    ['base64 of URLs', (text: string) => Buffer.from(text).toString('base64url')],
    ['hex', hex],
    ['upper-case hex', (text: string) => hex(text).toUpperCase()],
    ['percent-encoded base64', (text: string) => percent(base64(text))],
    ['percent-encoding, twice', (text: string) => percent(percent(text))],
  ])('of now or revoked is a leak in %s, behind any number of bytes', (_how, write) => {
    for (const value of [REAL, old]) {
      for (const before of BEFORE) {
        for (const head of [
          headOf([`X: ${write(before + value)}`]),
          headOf([], `GET /v1/${write(`${before + value}:x`)}/y HTTP/1.1`),
          headOf([basic(`u:${write(before + value)}`)]),
          headOf([`Cookie: a=${write(before + value)}; b=c`], 'GET /?100%25 HTTP/1.1'),
        ]) {
          expect(substitute(after.mine, head, { host: 'evil.example' })).toBe('secret_leak');
        }
      }
    }
  });

  it('that lacks a character is none', () => {
    for (const value of [REAL, old]) {
      for (const write of [base64, hex]) {
        const head = headOf([`X: ${write(`u:${value.slice(0, -1)}`)}`]);
        expect(substitute(after.mine, head, { host: 'evil.example' })).toBe(head);
      }
    }
  });

  it('revoked, is found in a long run of base64', () => {
    const run = base64(`${'x'.repeat(50_001)}${old}${'y'.repeat(50_000)}`);
    expect(after.mine.leaks.found(run)).toBe(true);
    expect(after.mine.leaks.found(base64('x'.repeat(80_000)))).toBe(false);
  });

  it('is neither written down nor shown, however it is escaped', () => {
    const spelt = [base64, hex, percent, (text: string) => percent(percent(text)), escaped];
    for (const write of [...spelt, (text: string) => hex(text).replace(/../g, '&#x$&;')]) {
      expect(holdsLeak(`/a/${write(REAL)}`, mine.leaks)).toBe(true);
      expect(withKeyNames(`/a/${write(REAL)}`, mine)).toBe(null);
    }
    expect(withKeyNames('/a%20b\\n&amp;', mine)).toBe('/a%20b\\n&amp;');
  });

  it('shorter than eight bytes is not looked for in base64 either', () => {
    const key = { env: 'K', shape: { prefix: '', length: 40, alphabet: 'ab' }, host: 'h', places: [] };
    const short = world([{ ...key, value: Buffer.from('secret') }]);
    const head = headOf([`X: ${base64('secret')} ${hex('secret')}`]);
    expect(substitute(short.mine, head)).toBe(head);
  });
});
