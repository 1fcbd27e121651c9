/** Request smuggling: framing that two parsers read differently never reaches an upstream. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AttackWorld, attackWorld } from '../helpers/attack-world.ts';
import { askOnce } from '../helpers/talk.ts';

const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n';

/** The head's framing fields, then what follows the head. */
const TRICKS: readonly [string, string, string][] = [
  ['length and chunked', 'Content-Length: 4\r\nTransfer-Encoding: chunked\r\n', `0\r\n\r\n${SMUGGLED}`],
  ['two lengths', 'Content-Length: 0\r\nContent-Length: 40\r\n', SMUGGLED],
  ['a list of lengths', 'Content-Length: 0, 40\r\n', SMUGGLED],
  ['a signed length', 'Content-Length: +0\r\n', SMUGGLED],
  ['a hex length', 'Content-Length: 0x0\r\n', SMUGGLED],
  ['chunked twice', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n', `0\r\n\r\n${SMUGGLED}`],
  ['chunked not last', 'Transfer-Encoding: chunked, identity\r\n', `0\r\n\r\n${SMUGGLED}`],
  ['a coding that hides chunked', 'Transfer-Encoding: xchunked\r\n', `0\r\n\r\n${SMUGGLED}`],
  ['a space before the colon', 'Transfer-Encoding : chunked\r\n', `0\r\n\r\n${SMUGGLED}`],
  ['a folded line', 'X-A: b\r\n Transfer-Encoding: chunked\r\n', `0\r\n\r\n${SMUGGLED}`],
  ['a bare LF', 'X-A: b\nTransfer-Encoding: chunked\r\n', `0\r\n\r\n${SMUGGLED}`],
  ['a NUL in a value', 'X-A: b\0\r\n', ''],
  ['a chunk size beyond 64 bits', 'Transfer-Encoding: chunked\r\n', `10000000000000000\r\n${SMUGGLED}`],
  ['a chunk whose end is missing', 'Transfer-Encoding: chunked\r\n', `3\r\nabcX0\r\n\r\n${SMUGGLED}`],
  ['a chunk size with a bare LF', 'Transfer-Encoding: chunked\r\n', `3\nabc\r\n0\r\n\r\n${SMUGGLED}`],
];

describe('smuggling', () => {
  let scene: AttackWorld;
  beforeAll(async () => {
    scene = await attackWorld();
  });
  afterAll(() => scene.stop());

  it.each(TRICKS)(
    '%s: refused inside TLS, and nothing of it becomes a request',
    async (_what, fields, tail) => {
      const reply = await scene.inside(scene.at.bound, 'POST /outer', fields, tail);
      expect(reply.json()).toMatchObject({ reason: 'bad_request' });
      expect(reply.field('connection')).toBe('close');
      // A server reports a request only when it is whole: a broken chunk after a good head never is.
      expect(scene.bound.seen).toEqual([]);
    },
  );

  it.each(TRICKS)('%s: refused on the proxy port', async (_what, fields, tail) => {
    const { plain } = scene.at;
    const reply = await askOnce(
      scene.world.port,
      `POST http://${plain}/outer HTTP/1.1\r\nHost: ${plain}\r\n${fields}\r\n${tail}`,
    );
    expect(reply.json()).toMatchObject({ reason: 'bad_request' });
    expect(scene.plain.seen).toEqual([]);
  });

  it('a field that Connection names is not passed on, and the ones that frame cannot be named away', async () => {
    const fields =
      'Connection: close, X-Secret, Content-Length, Host\r\nX-Secret: 1\r\nContent-Length: 3\r\nProxy-Foo: 1\r\n';
    const reply = await scene.inside(scene.at.bound, 'POST /hop', fields, 'abc');
    const seen = scene.bound.seen.at(-1);
    if (reply.status === 200) {
      expect(seen).toMatchObject({ url: '/hop', headers: { host: scene.at.bound, 'content-length': '3' } });
      expect(seen?.headers['x-secret']).toBeUndefined();
      expect(seen?.headers['proxy-foo']).toBeUndefined();
    } else {
      expect(reply.json()).toMatchObject({ reason: 'bad_request' });
    }
  });
});
