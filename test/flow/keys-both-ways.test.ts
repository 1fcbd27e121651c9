/** Random bodies, spellings, codings and framings through a live proxy: keys in where they belong, out where they do not. */
import type http from 'node:http';
import zlib from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SPELLINGS } from '../helpers/key-spellings.ts';
import { intercepted, placeholderIn, policy, profile } from '../helpers/scene.ts';
import { askOnce, connectTls, type Talk } from '../helpers/talk.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';
import { makeWorld, type World } from '../helpers/world.ts';

const RUNS = 400;
const REALS = {
  ONE: 'ghp_REALgithub0123456789abcdefghijklmnop',
  TWO: 'sk-proj-REAL/with+signs=0123456789abcdefghij',
  THREE: '0123456789abcdef0123456789abcdef0123456789abcdef',
};

const CODINGS: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
  identity: (bytes) => bytes,
  gzip: (bytes) => zlib.gzipSync(bytes),
  deflate: (bytes) => zlib.deflateSync(bytes),
  br: (bytes) => zlib.brotliCompressSync(bytes, { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 2 } }),
  zstd: (bytes) => zlib.zstdCompressSync(bytes),
};
/** What goes up: how a text of this type holds a key. */
const TYPES: Readonly<Record<string, (text: string) => string>> = {
  'application/json': (text) => JSON.stringify({ a: 'x', k: text }),
  'application/x-www-form-urlencoded': (text) => `a=b&k=${encodeURIComponent(text)}`,
  'text/plain': (text) => `a ${text} b`,
};

const coding = fc.constantFrom(...Object.keys(CODINGS));
const part = fc.tuple(
  fc.constantFrom(...Object.keys(SPELLINGS)),
  fc.constantFrom('ONE', 'TWO', 'THREE'),
  fc.constantFrom('"', ' ', '\n', '<p>'),
);
const answer = fc.record({
  parts: fc.array(part, { minLength: 1, maxLength: 4 }),
  coding,
  chunked: fc.boolean(),
  filler: fc.constantFrom(0, 0, 10, 90_000),
  redirect: fc.boolean(),
});
type Down = typeof answer extends fc.Arbitrary<infer T> ? T : never;
const request = fc.record({
  type: fc.constantFrom(...Object.keys(TYPES)),
  coding,
  chunked: fc.boolean(),
  cut: fc.integer({ min: 1, max: 400 }),
});

describe('keys through a live proxy', () => {
  let upstream: Upstream;
  let world: World;
  let client: Talk;
  let at = '';
  const placeholders = new Map<string, string>();
  let say: (response: http.ServerResponse) => void = (response) => void response.end();

  beforeAll(async () => {
    upstream = await httpUpstream({ name: 'api.test', answer: (_request, response) => say(response) });
    at = `api.test:${upstream.port}`;
    world = await makeWorld({
      policies: {
        'agents.yaml': policy([intercepted(at)], { more: 'profile: keys\n' }),
        'profiles/keys.yaml': profile(
          Object.keys(REALS).map((env) => ({ env, from: `env:${env}`, hosts: [at], in: ['header', 'body'] })),
        ),
      },
      hosts: { 'api.test': ['127.0.0.1'] },
      env: REALS,
    });
    const env = await askOnce(world.port, 'GET /env?format=json HTTP/1.1\r\nHost: sallyport\r\n\r\n');
    for (const name of Object.keys(REALS)) placeholders.set(name, placeholderIn(env.json(), name));
    client = await connectTls(world.port, at, { ca: world.caPem });
  });
  afterAll(async () => {
    client.destroy();
    await world.stop();
    await upstream.close();
  });

  const realOf = new Map(Object.entries(REALS));

  it('are put in and taken out exactly where they stand, whatever is around and however it is sent', async () => {
    const check = async (down: Down): Promise<void> => {
      const build = (
        values: ReadonlyMap<string, string>,
        spell: (name: string) => (text: string) => string,
      ) =>
        `${'filler '.repeat(down.filler / 7)}${down.parts
          .map(([name, key, around]) => `${around}${spell(name)(values.get(key) ?? '')}${around}`)
          .join('\n ')}`;
      const spelt = (name: string) => SPELLINGS[name] ?? ((text: string) => text);
      // Letters and digits of a placeholder need no escape: only what is not readable is spelt for it, too.
      const shown = (name: string) => (/^(?:hex|base64)/.test(name) ? spelt(name) : (text: string) => text);
      const body = CODINGS[down.coding]?.(Buffer.from(build(realOf, spelt), 'latin1')) ?? Buffer.alloc(0);
      say = (response) => {
        response.statusCode = down.redirect ? 302 : 200;
        if (down.redirect) response.setHeader('location', `/?k=${encodeURIComponent(REALS.TWO)}`);
        if (down.coding !== 'identity') response.setHeader('content-encoding', down.coding);
        if (!down.chunked) response.setHeader('content-length', body.length);
        response.write(body.subarray(0, body.length / 2));
        response.end(body.subarray(body.length / 2));
      };
      const reply = await client.ask(`GET / HTTP/1.1\r\nHost: ${at}\r\n\r\n`);
      const calm = (text: string): string => text.replace(/\r?\n|\\n/g, '').toLowerCase();
      expect(calm(reply.body.toString('latin1'))).toBe(calm(build(placeholders, shown)));
      for (const real of realOf.values())
        expect(reply.head + reply.body.toString('latin1')).not.toContain(real);
      if (down.redirect) expect(reply.field('location')).toBe(`/?k=${placeholders.get('TWO') ?? ''}`);
    };
    await fc.assert(fc.asyncProperty(answer, check), { numRuns: RUNS });
  });

  it('reach the upstream as its media type wants them, in the body and in the head', async () => {
    say = (response) => void response.end('ok');
    await fc.assert(
      fc.asyncProperty(request, fc.constantFrom('ONE', 'TWO', 'THREE'), async (up, key) => {
        const build = TYPES[up.type] ?? ((text: string) => text);
        const text = build(placeholders.get(key) ?? '');
        const body = CODINGS[up.coding]?.(Buffer.from(text, 'latin1')) ?? Buffer.alloc(0);
        const fields = [
          `X-Key: ${placeholders.get('ONE') ?? ''}`,
          `Content-Type: ${up.type}`,
          ...(up.coding === 'identity' ? [] : [`Content-Encoding: ${up.coding}`]),
          up.chunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${body.length}`,
        ];
        const parts: Buffer[] = [
          Buffer.from(`POST /x HTTP/1.1\r\nHost: ${at}\r\n${fields.join('\r\n')}\r\n\r\n`),
        ];
        for (let from = 0; from < body.length; from += up.cut) {
          const piece = body.subarray(from, from + up.cut);
          if (up.chunked) parts.push(Buffer.from(`${piece.length.toString(16)}\r\n`));
          parts.push(piece);
          if (up.chunked) parts.push(Buffer.from('\r\n'));
        }
        if (up.chunked) parts.push(Buffer.from('0\r\n\r\n'));
        // In one write: each of many small ones would wait for the one before it to be acknowledged.
        client.write(Buffer.concat(parts));
        expect((await client.reply()).status).toBe(200);
        const seen = upstream.seen.at(-1);
        expect(seen?.body.toString('latin1')).toBe(build(realOf.get(key) ?? ''));
        expect(seen?.headers['x-key']).toBe(REALS.ONE);
        expect(seen?.headers['content-encoding']).toBeUndefined();
      }),
      { numRuns: RUNS },
    );
  });
});
