import { createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { ALPHABETS, MARKER } from '../../../src/secrets/placeholder.ts';
import { tailSum } from '../../../src/secrets/revoked.ts';
import { MAX_SUBSTITUTED_HEAD } from '../../../src/secrets/substitute.ts';
import { basic, HEADER_AND_BASIC, headOf, KEYS, SHAPES, substitute, used, world } from './world.ts';

const { mine, holder, theirs } = world();
const OPENAI = holder('OPENAI_API_KEY');
const REAL_OPENAI = 'sk-proj-REAL-openai-0123456789abcdef';
const REAL_GITHUB = 'ghp_REALgithub0123456789abcdefghijklmnop';

function keyed(value: Buffer | null, places = HEADER_AND_BASIC) {
  return world([{ env: 'K', shape: SHAPES.github, host: 'api.openai.com', places, value }]);
}

describe('a placeholder that may be swapped', () => {
  it('becomes the key in a header and leaves every other byte as it was', () => {
    const head = headOf(['Host: api.openai.com', `Authorization: Bearer ${OPENAI}`, 'X-Other: \xe9 1']);
    expect(substitute(mine, head)).toBe(head.replace(OPENAI, REAL_OPENAI));
  });

  it('is reported by the name of its variable, once', () => {
    const head = headOf([`Authorization: Bearer ${OPENAI}`, `X-Key: ${OPENAI}`]);
    expect(used(mine, head, 'api.openai.com')).toEqual(['OPENAI_API_KEY']);
  });

  it('is refused where it stands as it is in place of Basic credentials, also without a marker', () => {
    const shape = { prefix: '', length: 32, alphabet: ALPHABETS.hex };
    const { mine: one, holder: of } = world([
      { env: 'K', shape, host: 'api.openai.com', places: HEADER_AND_BASIC, value: Buffer.from(REAL_OPENAI) },
    ]);
    const head = headOf(['Host: api.openai.com', `Authorization: Basic ${of('K')}`]);
    expect(substitute(one, head)).toBe('placeholder_wrong_place');
    expect(substitute(one, head, { host: 'api.telegram.org' })).toBe('placeholder_wrong_host');
  });

  it('is found in the middle of a field value', () => {
    const head = headOf([`X-Auth: token="${OPENAI}";v=1`]);
    expect(substitute(mine, head)).toBe(headOf([`X-Auth: token="${REAL_OPENAI}";v=1`]));
  });

  it('is swapped in a header that the key names, in any case', () => {
    const head = headOf([`x-maps-key: ${holder('MAPS_KEY')}`]);
    expect(substitute(mine, head, { host: 'maps.example' })).toBe(
      headOf(['x-maps-key: maps+REAL/key=0123456789&more']),
    );
  });

  it('is swapped in the path, where the colon of a bot token stays a colon', () => {
    const head = headOf([], `POST /bot${holder('TELEGRAM_TOKEN')}/sendMessage HTTP/1.1`);
    expect(substitute(mine, head, { host: 'api.telegram.org' })).toBe(
      headOf([], 'POST /bot123456789:REALtelegramREALtelegramREALtelegra/sendMessage HTTP/1.1'),
    );
  });

  it.each(['%3A', '%3a'])('is found in the path when a client wrote its colon as %s', (colon) => {
    const head = headOf([], `GET /bot${holder('TELEGRAM_TOKEN').replace(':', colon)}/getMe HTTP/1.1`);
    expect(substitute(mine, head, { host: 'api.telegram.org' })).toContain('/bot123456789:REAL');
  });

  it('is in the path when the query begins right behind it', () => {
    const head = headOf([], `GET /${holder('TELEGRAM_TOKEN')}?a=1 HTTP/1.1`);
    expect(substitute(mine, head, { host: 'api.telegram.org' })).toContain('/123456789:REAL');
  });

  it('is swapped in the named query parameter and percent-encoded for it', () => {
    const head = headOf([], `GET /map?x=1&key=${holder('MAPS_KEY')}&y=2 HTTP/1.1`);
    expect(substitute(mine, head, { host: 'maps.example' })).toBe(
      headOf([], 'GET /map?x=1&key=maps%2BREAL%2Fkey%3D0123456789%26more&y=2 HTTP/1.1'),
    );
  });

  it('is swapped where it was given out before the shape of its key was known', () => {
    const [binding] = mine.bindings;
    if (binding === undefined) throw new Error('no binding');
    const aliased = { ...mine, bindings: [{ ...binding, placeholder: 'elsewhere', aliases: [OPENAI] }] };
    expect(substitute(aliased, headOf([`X: ${OPENAI}`]))).toBe(headOf([`X: ${REAL_OPENAI}`]));
  });

  it('is not searched again in what was put in', () => {
    const value = Buffer.from(`prefix-${OPENAI}-suffix`);
    const [openai] = mine.bindings;
    if (openai === undefined) throw new Error('no binding');
    const other = keyed(value);
    const both = { ...mine, bindings: [openai, ...other.mine.bindings], known: other.mine.known };
    expect(substitute(both, headOf([`X: ${other.holder('K')}`]))).toBe(
      headOf([`X: prefix-${OPENAI}-suffix`]),
    );
  });
});

describe('Basic credentials', () => {
  const GITHUB = holder('GITHUB_TOKEN');

  it('are decoded, swapped and encoded again', () => {
    const head = headOf(['Host: github.com', basic(`x-access-token:${GITHUB}`)]);
    expect(substitute(mine, head, { host: 'github.com' })).toBe(
      headOf(['Host: github.com', basic(`x-access-token:${REAL_GITHUB}`)]),
    );
  });

  it('count the key as used', () => {
    expect(used(mine, headOf([basic(`${GITHUB}:`)]), 'github.com')).toEqual(['GITHUB_TOKEN']);
  });

  it.each(['basic', 'BASIC', 'Basic  '])('are recognised when the scheme is written %s', (scheme) => {
    const head = headOf([
      basic(`u:${GITHUB}`).replace('Basic', scheme).replace('Authorization', 'AUTHORIZATION'),
    ]);
    expect(used(mine, head, 'github.com')).toEqual(['GITHUB_TOKEN']);
  });

  it('stay without padding when they came without', () => {
    const unpadded = basic(`user:${GITHUB}`).replace(/=+$/, '');
    const done = substitute(mine, headOf([unpadded]), { host: 'github.com' });
    expect(done).toBe(headOf([basic(`user:${REAL_GITHUB}`).replace(/=+$/, '')]));
  });

  it('are left byte-identical when they hold no placeholder', () => {
    const head = headOf([basic('user:password')]);
    expect(substitute(mine, head, { host: 'github.com' })).toBe(head);
  });

  it('are left byte-identical when encoding them again would not give the same text', () => {
    const head = headOf([`${basic('user:password')}!!`]);
    expect(substitute(mine, head, { host: 'github.com' })).toBe(head);
  });

  it.each([
    ['with marks at the end', (text: string) => `${basic(text)}!!`],
    ['with marks inside', (text: string) => basic(text).replace(/.{30}/, '$&!').replace(/.{40}/, '$&!')],
  ])('refuse a placeholder where the text cannot be encoded back: %s', (_how, write) => {
    for (const [env, host] of [
      ['GITHUB_TOKEN', 'github.com'],
      ['TWILIO_SID', 'api.twilio.com'],
    ] as const) {
      const head = headOf([write(`u:${holder(env)}`)]);
      expect(substitute(mine, head, { host })).toBe('placeholder_wrong_place');
    }
  });

  it('that hold one placeholder inside and look like another outside are swapped inside alone', () => {
    const host = 'api.openai.com';
    const shared = { host, places: HEADER_AND_BASIC };
    const both = world([
      { env: 'INNER', shape: SHAPES.github, value: Buffer.from('inner-value-000000'), ...shared },
      { env: 'OUTER', shape: SHAPES.twilio, value: Buffer.from('outer-value-000000'), ...shared },
    ]);
    const inner = basic(`u:${both.holder('INNER')}`);
    expect(inner).not.toContain('=');
    const head = headOf([`${inner}${both.holder('OUTER')}AA`]);
    const outer = Buffer.from(`${both.holder('OUTER')}AA`, 'base64').toString('latin1');
    expect(substitute(both.mine, head)).toBe(headOf([basic(`u:inner-value-000000${outer}`)]));
    expect(used(both.mine, head, host)).toEqual(['INNER']);
  });

  it('refuse a placeholder of a key that may not stand there', () => {
    const only = keyed(Buffer.from('value-value-value'), [{ kind: 'header' }]);
    expect(substitute(only.mine, headOf([basic(`u:${only.holder('K')}`)]))).toBe('placeholder_wrong_place');
  });

  it('refuse a placeholder bound to another host', () => {
    expect(substitute(mine, headOf([basic(`u:${GITHUB}`)]))).toBe('placeholder_wrong_host');
  });

  it('refuse a real key', () => {
    const head = headOf([basic(`u:${REAL_GITHUB}`)]);
    expect(substitute(mine, head, { host: 'github.com' })).toBe('secret_leak');
  });

  it('refuse a real key even where the text cannot be encoded back', () => {
    const head = headOf([`${basic(`u:${REAL_GITHUB}`)}!!`]);
    expect(substitute(mine, head, { host: 'github.com' })).toBe('secret_leak');
  });
});

describe('a placeholder that may not be swapped', () => {
  it('is refused towards another host', () => {
    const head = headOf([`Authorization: Bearer ${OPENAI}`]);
    expect(substitute(mine, head, { host: 'evil.example' })).toBe('placeholder_wrong_host');
  });

  it.each([
    'Cookie',
    'Host',
    'Referer',
    'User-Agent',
    'Via',
    'Forwarded',
    'X-Forwarded-For',
    // For CGI and WSGI an underscore is a dash.
    'User_Agent',
    'x_forwarded_for',
    'X_Real-IP',
    'X-Forwarded-Host',
    'X-Real-IP',
    'Content-Length',
    'Transfer-Encoding',
    'Connection',
  ])('is refused in %s, which is not meant by `header`', (name) => {
    expect(substitute(mine, headOf([`${name}: ${OPENAI}`]))).toBe('placeholder_wrong_place');
  });

  it('is refused in a field that does not carry the name the key asks for', () => {
    const head = headOf([`Authorization: ${holder('MAPS_KEY')}`]);
    expect(substitute(mine, head, { host: 'maps.example' })).toBe('placeholder_wrong_place');
  });

  it.each([
    ['the path', `GET /${OPENAI} HTTP/1.1`],
    ['the query', `GET /?k=${OPENAI} HTTP/1.1`],
    ['the method', `${OPENAI} / HTTP/1.1`],
    ['the version', `GET / ${OPENAI}`],
    ['the authority of an absolute form', `GET http://${OPENAI}/ HTTP/1.1`],
  ])('is refused in %s when only headers are named', (_where, line) => {
    expect(substitute(mine, headOf([], line))).toBe('placeholder_wrong_place');
  });

  it('is refused in the name of a field', () => {
    expect(substitute(mine, headOf([`${OPENAI}: 1`]))).toBe('placeholder_wrong_place');
  });

  it('is refused where a reader that knows semicolons sees another parameter than the named one', () => {
    for (const query of [`key=1;other=${holder('MAPS_KEY')}`, `key=1;${holder('MAPS_KEY')}`]) {
      const head = headOf([], `GET /map?${query} HTTP/1.1`);
      expect(substitute(mine, head, { host: 'maps.example' })).toBe('placeholder_wrong_place');
    }
  });

  it('is refused in another query parameter than the named one', () => {
    const head = headOf([], `GET /?other=${holder('MAPS_KEY')} HTTP/1.1`);
    expect(substitute(mine, head, { host: 'maps.example' })).toBe('placeholder_wrong_place');
  });

  it('is refused without TLS', () => {
    const head = headOf([`Authorization: Bearer ${OPENAI}`]);
    expect(substitute(mine, head, { secure: false })).toBe('secret_requires_tls');
  });

  it('is refused while its key has no value', () => {
    const empty = keyed(null);
    expect(substitute(empty.mine, headOf([`X: ${empty.holder('K')}`]))).toBe('secret_unavailable');
  });

  it.each([
    ['a line break', 'real-value-1\r\nX-Injected: 1'],
    ['a line feed', 'real-value-1\nmore'],
    ['a NUL', 'real-value-1\0more'],
    ['DEL', 'real-value-1\x7fmore'],
    ['a letter beyond ASCII', 'real-value-\u20ac-more'],
  ])('is refused when its value holds %s', (_what, value) => {
    const bad = keyed(Buffer.from(value, 'utf8'));
    expect(substitute(bad.mine, headOf([`X: ${bad.holder('K')}`]))).toBe('secret_unavailable');
  });

  it('is refused in Basic when its value holds a control character', () => {
    const bad = keyed(Buffer.from('real-value\r\nmore'));
    expect(substitute(bad.mine, headOf([basic(`u:${bad.holder('K')}`)]))).toBe('secret_unavailable');
  });

  it('is refused in the path when its value would climb out of it', () => {
    const dots = keyed(Buffer.from('..'), [{ kind: 'path' }]);
    expect(substitute(dots.mine, headOf([], `GET /a/${dots.holder('K')}/b HTTP/1.1`))).toBe(
      'secret_unavailable',
    );
  });

  it('is refused when many of it would blow the head up', () => {
    const long = keyed(Buffer.from('v'.repeat(60_000)));
    const line = `X: ${long.holder('K')}`;
    const lines = Array.from({ length: Math.ceil(MAX_SUBSTITUTED_HEAD / 60_000) }, () => line);
    expect(substitute(long.mine, headOf(lines))).toBe('header_too_large');
  });
});

describe('a placeholder that is not this identity\u2019s', () => {
  it.each(['OPENAI_API_KEY', 'TWILIO_SID'])('is refused as unknown: %s of another identity', (env) => {
    const host = KEYS.find((key) => key.env === env)?.host ?? '';
    expect(substitute(mine, headOf([`X: ${theirs(env)}`]), { host })).toBe('placeholder_unknown');
  });

  it('is refused as unknown when it is made up around the marker', () => {
    expect(substitute(mine, headOf([`X: sk-${MARKER}abcdefghijklmnop`]))).toBe('placeholder_unknown');
  });

  it('is refused as unknown when its letters lost their case', () => {
    expect(substitute(mine, headOf([`X: ${OPENAI.toLowerCase()}`]))).toBe('placeholder_unknown');
  });

  it('is refused as unknown inside Basic', () => {
    expect(substitute(mine, headOf([basic(`u:${theirs('GITHUB_TOKEN')}`)]), { host: 'github.com' })).toBe(
      'placeholder_unknown',
    );
    expect(substitute(mine, headOf([basic(`u:${MARKER}`)]), { host: 'github.com' })).toBe(
      'placeholder_unknown',
    );
  });

  it('gets the same words as a made-up one', () => {
    const answer = (text: string): string => substitute(mine, headOf([`X: ${text}`]));
    expect(answer(theirs('OPENAI_API_KEY'))).toBe(answer(`${OPENAI.slice(0, -4)}0000`));
  });
});

const octets = (text: string): string =>
  Buffer.from(text)
    .toString('hex')
    .replace(/../g, (pair) => `%${pair}`);

describe('a real key from a sandbox', () => {
  it.each([
    ['a header', headOf([`Authorization: Bearer ${REAL_OPENAI}`])],
    ['the path', headOf([], `GET /${REAL_OPENAI} HTTP/1.1`)],
    ['a cookie', headOf([`Cookie: k=${REAL_OPENAI}`])],
    ['a path of encoded octets', headOf([], `GET /${octets(REAL_OPENAI)} HTTP/1.1`)],
    ['a query of some encoded octets', headOf([], `GET /?k=%73${REAL_OPENAI.slice(1)} HTTP/1.1`)],
    ['a percent-encoded query', headOf([], 'GET /?k=maps%2BREAL%2Fkey%3D0123456789%26more HTTP/1.1')],
  ])('is refused in %s, whatever the host', (_where, head) => {
    expect(substitute(mine, head)).toBe('secret_leak');
    expect(substitute(mine, head, { host: 'evil.example' })).toBe('secret_leak');
  });

  it('goes before a placeholder at fault', () => {
    expect(substitute(mine, headOf([`A: ${theirs('GITHUB_TOKEN')}`, `B: ${REAL_OPENAI}`]))).toBe(
      'secret_leak',
    );
  });

  it('is refused after it was revoked, wherever it stands', () => {
    const text = 'sk-proj-OLD-revoked-0123456789';
    const old = Buffer.from(text);
    const digest = (bytes: Buffer): string => createHmac('sha256', 'k').update(bytes).digest('hex');
    const revoked = {
      length: old.length,
      tail: tailSum(old),
      matches: (c: Buffer) => digest(c) === digest(old),
    };
    const after = world(KEYS, [revoked]);
    expect(substitute(after.mine, headOf([`Authorization: Bearer ${text}`]))).toBe('secret_leak');
    expect(substitute(after.mine, headOf([`X: a${text}b`]))).toBe('secret_leak');
    expect(substitute(after.mine, headOf([basic(`u:${text}`)]))).toBe('secret_leak');
    expect(substitute(after.mine, headOf([], `GET /?k=${octets(text)} HTTP/1.1`))).toBe('secret_leak');
    expect(substitute(after.mine, headOf([`X: ${text.slice(0, -1)}`]))).not.toBe('secret_leak');
  });
});

describe('a head without placeholders', () => {
  it('is handed back as the same string, with nothing used', () => {
    const head = headOf(['Host: api.openai.com', 'Accept: */*']);
    expect(substitute(mine, head)).toBe(head);
    expect(used(mine, head, 'api.openai.com')).toEqual([]);
  });

  it.each(['', '\r\n\r\n', 'x', 'GET', 'GET / HTTP/1.1', ': \r\n', 'Authorization: Basic'])(
    'may be any text: %j',
    (head) => {
      expect(substitute(mine, head)).toBe(head);
    },
  );

  it('passes for an identity without keys', () => {
    const { mine: nothing } = world([]);
    const head = headOf([`Authorization: Bearer ${REAL_OPENAI}`]);
    expect(substitute(nothing, head)).toBe(head);
  });
});
