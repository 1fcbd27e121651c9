/**
 * Placeholders and real keys in every spelling that a head may hold them in, over each way in: HTTP/1.1 and HTTP/2 inside
 * TLS, the handshake of a WebSocket, and plain HTTP. Refused by name, recorded without the key, and nothing goes upstream.
 */
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openVault } from '../../src/vault/sealed.ts';
import { connectH2, type H2Client, replyTo } from '../helpers/h2.ts';
import { keysShown } from '../helpers/key-forms.ts';
import { intercepted, placeholderIn, policy, profile } from '../helpers/scene.ts';
import { askOnce, connectTls, type Talk } from '../helpers/talk.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';
import { handshakeText } from '../helpers/websocket.ts';
import { eventually, makeWorld, type World } from '../helpers/world.ts';

const REVOKED = 'ghp_REVOKEDrevoked0123456789abcdefghijk1';
const REAL = 'ghp_CURRENTcurrent0123456789abcdefghijk2';
const SHORT = 'c0ffee00c0ffee00c0ffee00c0ffee00';

const latin = (text: string): Buffer => Buffer.from(text, 'latin1');
const percent = (text: string): string => latin(text).toString('hex').replace(/../g, '%$&');
const swapCase = (text: string): string =>
  text.replace(/[a-z]/gi, (char) => (char < 'a' ? char.toLowerCase() : char.toUpperCase()));

/** Spellings that any reader of a head may undo. */
const CODED: Readonly<Record<string, (text: string) => string>> = {
  'percent-encoded': percent,
  'percent-encoded in part': (text) => percent(text.slice(0, 1)) + text.slice(1),
  'percent-encoded twice': (text) => percent(percent(text)),
  base64: (text) => latin(text).toString('base64'),
  'base64, one byte before': (text) => latin(`:${text}`).toString('base64'),
  'base64, two bytes before': (text) => latin(`u:${text}@`).toString('base64url'),
  'base64, percent-encoded': (text) => percent(latin(text).toString('base64')),
};
const HEX: Readonly<Record<string, (text: string) => string>> = {
  hex: (text) => latin(text).toString('hex'),
  'upper-case hex': (text) => latin(text).toString('hex').toUpperCase(),
};

type Ask = { readonly path?: string; readonly fields?: Readonly<Record<string, string>> };
const PLACES: Readonly<Record<string, (text: string) => Ask>> = {
  Authorization: (text) => ({ fields: { authorization: `Bearer ${text}` } }),
  'a header': (text) => ({ fields: { 'x-key': text } }),
  'User-Agent': (text) => ({ fields: { 'user-agent': `agent/1 ${text}` } }),
  Cookie: (text) => ({ fields: { cookie: `a=b; s=${text}; c=d` } }),
  Referer: (text) => ({ fields: { referer: `https://x.test/${text}?y` } }),
  'the path': (text) => ({ path: `/v1/${text}/z` }),
  'the query': (text) => ({ path: `/v1?a=b&k=${text}&c=d` }),
};
/** The key's places are `header` and `basic`. */
const OWN_PLACES = ['Authorization', 'a header'];

const WAYS = ['http/1.1', 'h2', 'the handshake of a WebSocket', 'plain HTTP'] as const;

describe.each(WAYS)('over %s', (way) => {
  let world: World;
  const upstreams: Upstream[] = [];
  const streams = new Map<string, H2Client>();
  const open = new Map<string, Talk>();
  const at = { bound: '', other: '' };
  const held = { mine: '', short: '', theirs: '', theirShort: '' };
  const isPlain = way === 'plain HTTP';

  beforeAll(async () => {
    const make = isPlain ? {} : null;
    for (const name of ['key.test', 'other.test']) upstreams.push(await httpUpstream(make ?? { name }));
    at.bound = `key.test:${upstreams[0]?.port ?? 0}`;
    at.other = `other.test:${upstreams[1]?.port ?? 0}`;
    const rules = [intercepted(at.bound), intercepted(at.other)];
    world = await makeWorld({
      policies: {
        'agents.yaml': policy(rules, { sources: '127.0.0.1/32', more: 'profile: keys\n' }),
        'others.yaml': policy(rules, { group: 'others', sources: '127.0.0.2/32', more: 'profile: keys\n' }),
        'profiles/keys.yaml': profile([
          { env: 'KEY', from: 'vault:key', hosts: [at.bound] },
          { env: 'SHORT', from: 'vault:short', hosts: [at.bound] },
        ]),
      },
      hosts: { 'key.test': ['127.0.0.1'], 'other.test': ['127.0.0.1'] },
    });
    const vault = openVault({ dir: path.join(world.dir, '.sallyport') });
    await vault.set('key', latin(REVOKED));
    await vault.set('short', latin(SHORT));
    await vault.rotate('key', latin(REAL));
    if (way === 'h2') {
      for (const to of [at.bound, at.other])
        streams.set(to, await connectH2(world.port, to, { ca: world.caPem }));
    }
    for (const [localAddress, long, short] of [
      ['127.0.0.1', 'mine', 'short'],
      ['127.0.0.2', 'theirs', 'theirShort'],
    ] as const) {
      const asked = 'GET /env?format=json HTTP/1.1\r\nHost: sallyport\r\n\r\n';
      // Shaped as the values are, once those are read.
      await eventually(async () => {
        const env = (await askOnce(world.port, asked, { localAddress })).json();
        held[long] = placeholderIn(env, 'KEY');
        held[short] = placeholderIn(env, 'SHORT');
        return held[long].startsWith('ghp_') && held[short].length === SHORT.length;
      });
    }
    await eventually(async () => (await ask(at.other, { fields: { x: REAL } })) === 'secret_leak');
    await eventually(async () => (await ask(at.other, { fields: { x: REVOKED } })) === 'secret_leak');
    for (const one of upstreams) one.seen.length = 0;
  });
  afterAll(async () => {
    for (const stream of streams.values()) stream.close();
    for (const client of open.values()) client.destroy();
    await world.stop();
    for (const one of upstreams) await one.close();
  });

  const ask = async (to: string, { path: target = '/', fields = {} }: Ask): Promise<unknown> => {
    const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
    if (isPlain) {
      const head = `GET http://${to}${target} HTTP/1.1\r\nHost: ${to}\r\n${lines.join('')}\r\n`;
      return (await askOnce(world.port, head)).json()['reason'];
    }
    const stream = streams.get(to);
    if (stream !== undefined)
      return (await replyTo(stream.request(`GET ${target}`, fields))).json()['reason'];
    const client = open.get(to) ?? (await connectTls(world.port, to, { ca: world.caPem }));
    client.write(
      way === 'http/1.1'
        ? `GET ${target} HTTP/1.1\r\nHost: ${to}\r\n${lines.join('')}\r\n`
        : handshakeText(to, target, lines.join('')),
    );
    const reply = await client.reply();
    if (reply.field('connection') === 'close') open.delete(to);
    else open.set(to, client);
    return reply.json()['reason'];
  };
  const refused = async (
    to: readonly string[],
    texts: readonly string[],
    reason: (place: string, to: string) => string,
  ) => {
    for (const [place, build] of Object.entries(PLACES)) {
      for (const host of to) {
        for (const text of texts) {
          expect(await ask(host, build(text)), `${place}: ${text} to ${host}`).toBe(reason(place, host));
        }
      }
    }
    expect(upstreams.flatMap(({ seen }) => seen)).toEqual([]);
  };

  it('a placeholder is refused towards another host, and at its own in another place', async () => {
    await refused([at.other], [held.mine], () => 'placeholder_wrong_host');
    const own = isPlain ? 'secret_requires_tls' : null;
    for (const [place, build] of Object.entries(PLACES)) {
      const fits = OWN_PLACES.includes(place);
      if (fits && own === null) continue;
      expect(await ask(at.bound, build(held.mine))).toBe(fits ? own : 'placeholder_wrong_place');
    }
    expect(upstreams.flatMap(({ seen }) => seen)).toEqual([]);
  });

  it('another identity’s, one in other letters and one that is made up are refused as unknown', async () => {
    const madeUp = [`${held.mine.slice(0, -6)}AAAAAA`, 'sk-SLYPRTQX0123456789abcdefghijklmnop'];
    const letters = [held.mine.toLowerCase(), held.mine.toUpperCase(), swapCase(held.mine)];
    const all = [held.theirs, held.theirShort, ...letters, ...madeUp];
    await refused([at.bound], all, () => 'placeholder_unknown');
  });

  it.each([...Object.keys(CODED), ...Object.keys(HEX)])(
    'a placeholder is refused in every place where it is spelt: %s',
    async (how) => {
      const write = { ...CODED, ...HEX }[how] ?? String;
      await refused([at.bound], [write(held.mine)], () => 'placeholder_wrong_place');
      await refused([at.bound], [write(held.short)], () => 'placeholder_wrong_place');
      const others = [write(held.theirs), write(held.mine.toLowerCase())];
      const byMarker = !how.startsWith('percent');
      await refused([at.bound], others, () => (byMarker ? 'placeholder_wrong_place' : 'placeholder_unknown'));
    },
  );

  it.each(['plain', ...Object.keys(CODED), ...Object.keys(HEX)])(
    'a real key, current or revoked, is a leak in every place where it is spelt: %s',
    async (how) => {
      const write = { plain: String, ...CODED, ...HEX }[how] ?? String;
      await refused([at.bound, at.other], [write(REAL), write(REVOKED)], () => 'secret_leak');
    },
  );

  it('no record, metric or log holds a key in any spelling', async () => {
    const places = {
      record: JSON.stringify(await world.audit()),
      metrics: await world.metrics(),
      log: world.log(),
    };
    expect(keysShown(places, { REAL, REVOKED, SHORT })).toEqual([]);
    const spelt = [REAL, REVOKED].flatMap((key) => Object.values(CODED).map((write) => write(key)));
    for (const text of spelt) expect(places.record).not.toContain(text);
  });
});
