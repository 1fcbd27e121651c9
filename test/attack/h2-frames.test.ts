/**
 * HTTP/2 frames that break the protocol or abuse it (RFC 9113, CVE-2023-44487, CVE-2025-8671, CVE-2024-27983,
 * CVE-2019-9511 to 9518): the stream or the connection ends, it is recorded once, nothing odd goes upstream, and others
 * are served on.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type AttackWorld, attackWorld } from '../helpers/attack-world.ts';
import { connectH2 } from '../helpers/h2.ts';
import {
  END_HEADERS,
  END_STREAM,
  frame,
  integer,
  PREFACE,
  type RawH2,
  rawH2,
  section,
  TYPE,
  u32,
} from '../helpers/h2-raw.ts';
import { records } from '../helpers/scene.ts';
import { connectTls, open } from '../helpers/talk.ts';
import { eventually } from '../helpers/world.ts';

const PROTOCOL = 1;
const FLOW = 3;
const CLOSED = 5;
const SIZE = 6;
const COMPRESSION = 9;
const CALM = 11;

describe('HTTP/2 frames', () => {
  let a: AttackWorld;
  let peer: RawH2;
  let before = 0;

  beforeAll(async () => {
    a = await attackWorld();
  });
  afterAll(async () => {
    await a.stop();
  });
  beforeEach(async () => {
    before = a.arrived();
    peer = await rawH2(a.world.port, a.at.bound, { ca: a.world.caPem });
  });
  afterEach(async () => {
    peer.destroy();
    // Whatever happened: the next client is served.
    const client = await connectH2(a.world.port, a.at.bound, { ca: a.world.caPem });
    expect((await client.ask('GET /well')).status).toBe(200);
    client.close();
  });

  /** `bad_request` records of this connection's kind that say nothing of a path. */
  const faults = async (): Promise<number> =>
    (await records(a.world, { kind: 'end', reason: 'bad_request', path: null })).length;

  it('a whole request is answered', async () => {
    peer.begin();
    peer.write(peer.get(1, '/raw'));
    expect(await peer.body(1)).toBe('GET /raw 0');
  });

  const connectionErrors: [string, (p: RawH2) => Buffer[], number[]][] = [
    ['a frame on stream 0 that has none', (p) => [frame(TYPE.headers, 5, 0, section(p.start()))], [PROTOCOL]],
    ['DATA on stream 0', () => [frame(TYPE.data, 0, 0, [1])], [PROTOCOL]],
    ['DATA on an idle stream', () => [frame(TYPE.data, 0, 7, [1])], [PROTOCOL, CLOSED]],
    ['RST_STREAM on an idle stream', () => [frame(TYPE.reset, 0, 7, u32(8))], [PROTOCOL]],
    ['WINDOW_UPDATE on an idle stream', () => [frame(TYPE.window, 0, 7, u32(1))], [PROTOCOL]],
    ['an even stream', (p) => [p.get(2)], [PROTOCOL]],
    [
      'a frame larger than was announced',
      () => [frame(TYPE.data, 0, 1, Buffer.alloc(20_000))],
      [SIZE, PROTOCOL],
    ],
    [
      'SETTINGS of a length that is no multiple of six',
      () => [frame(TYPE.settings, 0, 0, [0, 0, 0])],
      [SIZE],
    ],
    ['SETTINGS on a stream', () => [frame(TYPE.settings, 0, 1)], [PROTOCOL]],
    ['an acknowledgement with a payload', () => [frame(TYPE.settings, 1, 0, [0, 3, 0, 0, 0, 1])], [SIZE]],
    ['ENABLE_PUSH of 2', () => [frame(TYPE.settings, 0, 0, [0, 2, 0, 0, 0, 2])], [PROTOCOL]],
    ['a window of 2^31', () => [frame(TYPE.settings, 0, 0, [0, 4, 128, 0, 0, 0])], [FLOW]],
    ['a frame size below 2^14', () => [frame(TYPE.settings, 0, 0, [0, 5, 0, 0, 0, 1])], [PROTOCOL]],
    ['a PING of seven bytes', () => [frame(TYPE.ping, 0, 0, Buffer.alloc(7))], [SIZE]],
    ['a PING on a stream', () => [frame(TYPE.ping, 0, 1, Buffer.alloc(8))], [PROTOCOL]],
    ['a RST_STREAM of three bytes', (p) => [p.get(1), frame(TYPE.reset, 0, 1, [0, 0, 0])], [SIZE]],
    ['a window increment of zero', () => [frame(TYPE.window, 0, 0, u32(0))], [PROTOCOL]],
    [
      'a connection window beyond 2^31 - 1',
      () => [frame(TYPE.window, 0, 0, u32(0x7fff_ffff)), frame(TYPE.window, 0, 0, u32(0x7fff_ffff))],
      [FLOW],
    ],
    ['PUSH_PROMISE from a client', (p) => [p.get(1), frame(TYPE.push, 4, 1, u32(2))], [PROTOCOL]],
    ['CONTINUATION without HEADERS', () => [frame(TYPE.continuation, 4, 1)], [PROTOCOL]],
    [
      'another frame inside a header section',
      (p) => [
        frame(TYPE.headers, END_STREAM, 1, section(p.start())),
        frame(TYPE.ping, 0, 0, Buffer.alloc(8)),
      ],
      [PROTOCOL],
    ],
    ['padding longer than the frame', () => [frame(TYPE.headers, 0x0d, 1, [200, 0])], [PROTOCOL, SIZE]],
    [
      'an index beyond the HPACK tables',
      () => [frame(TYPE.headers, 5, 1, [0xff, 0xff, 0x7f])],
      [COMPRESSION],
    ],
    [
      'an HPACK table larger than was announced',
      () => [
        frame(TYPE.headers, 5, 1, Buffer.concat([Buffer.from([0x3f]), Buffer.from([0xe1, 0xff, 0x7f])])),
      ],
      [COMPRESSION],
    ],
    [
      'Huffman code that is none',
      () => [frame(TYPE.headers, 5, 1, [0x00, 0x84, 255, 255, 255, 255, 0x00])],
      [COMPRESSION],
    ],
  ];

  it.each(connectionErrors)('%s ends the connection, recorded once', async (_name, bytes, codes) => {
    const old = await faults();
    peer.begin();
    peer.write(...bytes(peer));
    expect(codes).toContain(await peer.goaway());
    await peer.closed();
    await eventually(async () => (await faults()) > old);
    expect((await faults()) - old).toBe(1);
  });

  it.each<[string, string]>([
    ['HTTP/1.1', 'GET / HTTP/1.1\r\nHost: key.test\r\n\r\nrest of it'],
    ['a preface with one byte wrong', `${PREFACE.slice(0, -1)}x`],
  ])('%s instead of the preface ends the connection', async (_name, text) => {
    peer.write(text, frame(TYPE.settings, 0, 0));
    await peer.closed();
    expect(a.arrived()).toBe(before);
  });

  const malformed: [string, (p: RawH2) => (readonly [string, string])[]][] = [
    ['upper case in a name', (p) => [...p.start(), ['X-A', '1']]],
    ['a line end in :path', (p) => p.start('/ HTTP/1.1\r\nX-Smuggled: 1')],
    ['a request line in :method', (p) => p.start('/', 'GET / HTTP/1.1\r\nX: 1\r\n\r\nGET')],
    [
      'a line end in :authority',
      (p) => [
        ...p.start().filter(([name]) => name !== ':authority'),
        [':authority', `${p.at}\r\nX-Smuggled: 1`],
      ],
    ],
    ['transfer-encoding', (p) => [...p.start(), ['transfer-encoding', 'chunked']]],
    ['connection', (p) => [...p.start(), ['connection', 'close']]],
    ['te other than trailers', (p) => [...p.start(), ['te', 'gzip']]],
    ['a pseudo-header field behind a field', (p) => [...p.start().slice(0, 3), ['a', 'b'], [':path', '/']]],
    ['a second :path', (p) => [...p.start(), [':path', '/two']]],
    ['an unknown pseudo-header field', (p) => [...p.start(), [':evil', '1']]],
    ['a response pseudo-header field', (p) => [...p.start(), [':status', '200']]],
    ['no :path', (p) => p.start().filter(([name]) => name !== ':path')],
    ['an empty :path', (p) => p.start('')],
    ['an absolute :path', (p) => p.start('https://evil.test/')],
    ['a space in :path', (p) => p.start('/a b')],
    [
      'userinfo in :authority',
      (p) => [...p.start().filter(([name]) => name !== ':authority'), [':authority', `me@${p.at}`]],
    ],
    ['extended CONNECT', (p) => [...p.start('/', 'CONNECT'), [':protocol', 'websocket']]],
    ['two lengths', (p) => [...p.start(), ['content-length', '0'], ['content-length', '1']]],
    ['a length without a body', (p) => [...p.start(), ['content-length', '5']]],
  ];

  it.each(malformed)('%s is refused on its stream, recorded, and never sent on', async (_name, fields) => {
    const refused = async (): Promise<number> =>
      (await records(a.world, { kind: 'end', ended: 'refused' })).length;
    const old = await refused();
    peer.begin();
    peer.write(frame(TYPE.headers, END_STREAM | END_HEADERS, 1, section(fields(peer))));
    peer.write(peer.get(3, '/next'));
    expect(await peer.body(3)).toBe('GET /next 0');
    await eventually(() => peer.seen(TYPE.reset, 1) ?? peer.seen(TYPE.headers, 1));
    await eventually(async () => (await refused()) > old);
    expect((await refused()) - old).toBe(1);
    expect(a.arrived() - before).toBe(1);
    for (const one of [...a.bound.seen, ...a.other.seen])
      expect(one.headers).not.toHaveProperty('x-smuggled');
  });

  it('a body that is not as long as was said, in one segment with its head: one record', async () => {
    const ids = async (): Promise<unknown[]> =>
      (await records(a.world, { kind: 'end', stage: 'request' })).map((one) => one['request_id']);
    const old = (await ids()).length;
    peer.begin();
    peer.write(
      frame(TYPE.headers, END_HEADERS, 1, section([...peer.start('/up', 'POST'), ['content-length', '9']])),
      frame(TYPE.data, END_STREAM, 1, [1, 2]),
    );
    expect(await peer.reset(1)).toBe(PROTOCOL);
    peer.destroy();
    await eventually(() => a.world.proxy.parts.live.connectionsOpen().length === 0);
    await eventually(async () => (await ids()).length > old);
    expect((await ids()).length - old).toBe(1);
  });

  const floods: [string, (p: RawH2) => Buffer[], number][] = [
    [
      'rapid reset (CVE-2023-44487)',
      (p) => many(600, (n) => [p.get(2 * n + 1), frame(TYPE.reset, 0, 2 * n + 1, u32(8))]),
      600,
    ],
    [
      'streams that make us reset them (CVE-2025-8671)',
      (p) =>
        many(200, (n) => [
          frame(
            TYPE.headers,
            END_HEADERS,
            2 * n + 1,
            section([...p.start('/up', 'POST'), ['content-length', '1']]),
          ),
          frame(TYPE.data, END_STREAM, 2 * n + 1, [1, 2]),
        ]),
      200,
    ],
    ['malformed requests', (p) => many(200, (n) => [p.get(2 * n + 1, '/', [['Upper', '1']])]), 200],
    [
      'CONTINUATION without end (CVE-2024-27983)',
      (p) => [
        frame(TYPE.headers, 1, 1, section(p.start())),
        ...many(500, (n) => [frame(TYPE.continuation, 0, 1, section([[`a${n}`, 'b']]))]),
      ],
      0,
    ],
    [
      'empty CONTINUATION (CVE-2019-9518)',
      (p) => [
        frame(TYPE.headers, 1, 1, section(p.start())),
        ...many(500, () => [frame(TYPE.continuation, 0, 1)]),
      ],
      0,
    ],
    ['PING (CVE-2019-9512)', () => many(2_000, () => [frame(TYPE.ping, 0, 0, Buffer.alloc(8))]), 0],
    ['SETTINGS (CVE-2019-9515)', () => many(500, () => [frame(TYPE.settings, 0, 0)]), 0],
    ['PRIORITY (CVE-2019-9513)', () => many(2_000, () => [frame(TYPE.priority, 0, 1, [0, 0, 0, 3, 16])]), 0],
    ['WINDOW_UPDATE', () => many(9_000, () => [frame(TYPE.window, 0, 0, u32(1))]), 0],
    ['frames of no known type', () => many(2_000, () => [frame(99, 0, 0, [1])]), 0],
    [
      'empty DATA (CVE-2019-9518)',
      (p) => [
        frame(TYPE.headers, END_HEADERS, 1, section(p.start('/up', 'POST'))),
        ...many(500, () => [frame(TYPE.data, 0, 1)]),
      ],
      0,
    ],
  ];

  it.each(floods)('a flood: %s: ends in ENHANCE_YOUR_CALM, recorded once', async (_name, bytes, _count) => {
    const said = async (): Promise<number> => {
      const all = await records(a.world, { kind: 'decision', reason: 'bad_request', path: null });
      return all.length;
    };
    const old = await said();
    // Each malformed request has a record of its own. Where the library has had enough first, it says so in its own way.
    const each = _name === 'malformed requests';
    const byLibrary = each || _name.includes('2025-8671');
    peer.begin();
    peer.write(...bytes(peer));
    expect(byLibrary ? [CALM, 1, 2] : [CALM]).toContain(await peer.goaway());
    await peer.closed();
    await eventually(async () => (await said()) > old);
    expect((await said()) - old).toBeLessThanOrEqual(each ? 202 : 1);
    peer.destroy();
    await eventually(() => a.world.proxy.parts.live.connectionsOpen().length === 0);
  });

  it('a header section of many small fields is refused before it is large', async () => {
    peer.begin();
    // One entry in the dynamic table, named again and again (the HPACK bomb): 1 byte a field.
    const entry = Buffer.concat([
      Buffer.from([0x40]),
      integer(1, 7),
      Buffer.from('a'),
      integer(3000, 7),
      Buffer.alloc(3000, 'x'),
    ]);
    const bomb = Buffer.concat([section(peer.start()), entry, Buffer.alloc(12_000, 0x80 | 62)]);
    peer.write(frame(TYPE.headers, END_STREAM | END_HEADERS, 1, bomb));
    await eventually(() => peer.seen(TYPE.reset, 1) ?? (peer.over ? peer : null));
    expect(a.arrived()).toBe(before);
  });

  it.each<[string, [string, string]]>([
    ['a line end in a value', ['a', 'b\r\nX-Smuggled: 1']],
    ['a line end in a name', ['a\r\nx-smuggled', '1']],
    ['a NUL in a value', ['a', 'b\0c']],
  ])('%s: the field is gone, or the request is', async (_name, field) => {
    peer.begin();
    peer.write(frame(TYPE.headers, END_STREAM | END_HEADERS, 1, section([...peer.start('/odd'), field])));
    peer.write(peer.get(3, '/next'));
    expect(await peer.body(3)).toBe('GET /next 0');
    const [odd] = a.bound.seen.filter(({ url }) => url === '/odd');
    expect(Object.keys(odd?.headers ?? {})).not.toContain('x-smuggled');
    expect(odd?.headers['a']).toBeUndefined();
  });

  it('a stream below the last one is not served', async () => {
    peer.begin();
    peer.write(peer.get(5, '/five'), peer.get(3, '/three'), peer.get(7, '/seven'));
    expect(await peer.body(7)).toBe('GET /seven 0');
    expect(a.bound.seen.some(({ url }) => url === '/three')).toBe(false);
  });

  it('more streams than we serve at once are refused, to be asked again', async () => {
    peer.begin();
    const post = (n: number): Buffer =>
      frame(TYPE.headers, END_HEADERS, 2 * n + 1, section(peer.start(`/open${n}`, 'POST')));
    peer.write(...many(110, (n) => [post(n)]));
    expect(await peer.reset(2 * 105 + 1)).toBe(7);
    expect(peer.over).toBe(false);
  });
});

describe('HTTP/2 where it was not agreed on', () => {
  let a: AttackWorld;
  beforeAll(async () => {
    a = await attackWorld();
  });
  afterAll(async () => {
    await a.stop();
  });

  it('the preface on the plain port is refused by name', async () => {
    const client = await open(a.world.port);
    client.write(PREFACE);
    const reply = await client.reply();
    expect([reply.status, String(reply.json()['detail'])]).toEqual([400, expect.stringContaining('HTTP/2')]);
    client.destroy();
  });

  it('the preface inside TLS without ALPN is refused by name', async () => {
    const client = await connectTls(a.world.port, a.at.bound, { ca: a.world.caPem });
    client.write(PREFACE);
    const reply = await client.reply();
    expect([reply.status, String(reply.json()['detail'])]).toEqual([400, expect.stringContaining('HTTP/2')]);
    client.destroy();
  });

  it('an upgrade to h2c is refused', async () => {
    const reply = await a.inside(
      a.at.bound,
      'GET /',
      'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n',
    );
    expect(reply.json()).toMatchObject({ status: 403, reason: 'upgrade_refused' });
    expect(a.arrived()).toBe(0);
  });
});

function many(count: number, make: (n: number) => Buffer[]): Buffer[] {
  return Array.from({ length: count }, (_, n) => make(n)).flat();
}
