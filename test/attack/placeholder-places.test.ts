/**
 * Every place that a key may be bound to, and every way to misuse its placeholder there, asked over HTTP/1.1 and
 * HTTP/2: refused by the right name, and no whole request reaches any upstream.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectH2, type H2Client, replyTo } from '../helpers/h2.ts';
import { intercepted, placeholderIn, policy, profile } from '../helpers/scene.ts';
import { askOnce, connectTls } from '../helpers/talk.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';
import { makeWorld, type World } from '../helpers/world.ts';

const SUBJECTS = ['header', 'basic', 'query', 'path', 'body'] as const;
type Subject = (typeof SUBJECTS)[number];
type Ask = {
  readonly method?: string;
  readonly path?: string;
  readonly fields?: Record<string, string>;
  readonly body?: string;
};

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const percent = (text: string): string =>
  Array.from(text, (char) => `%${char.charCodeAt(0).toString(16)}`).join('');
const swapCase = (text: string): string =>
  Array.from(text, (char) => (char === char.toLowerCase() ? char.toUpperCase() : char.toLowerCase())).join(
    '',
  );

/** A text in each place. */
const IN: Readonly<Record<string, (text: string) => Ask>> = {
  header: (text) => ({ fields: { 'x-key': text } }),
  basic: (text) => ({ fields: { authorization: `Basic ${base64(`u:${text}`)}` } }),
  query: (text) => ({ path: `/?k=${text}` }),
  path: (text) => ({ path: `/bot${text}/send` }),
  body: (text) => ({
    method: 'POST',
    body: `{"k":"${text}"}`,
    fields: { 'content-type': 'application/json' },
  }),
  'a form': (text) => ({
    method: 'POST',
    body: `a=b&k=${text}`,
    fields: { 'content-type': 'application/x-www-form-urlencoded' },
  }),
  'a long body': (text) => ({ method: 'POST', body: `${'x'.repeat(70_000)} ${text}` }),
};
/** Where no key is ever put in. */
const NEVER: Readonly<Record<string, (text: string) => Ask>> = {
  'User-Agent': (text) => ({ fields: { 'user-agent': `curl ${text}` } }),
  Cookie: (text) => ({ fields: { cookie: `s=${text}` } }),
  Referer: (text) => ({ fields: { referer: `https://x.test/${text}` } }),
  'X-Forwarded-For': (text) => ({ fields: { 'x-forwarded-for': text } }),
  'a body of bytes': (text) => ({
    method: 'POST',
    body: `\u0000${text}`,
    fields: { 'content-type': 'application/octet-stream' },
  }),
  'a header of a part': (text) => ({
    method: 'POST',
    body: `--B\r\nContent-Disposition: form-data; name="${text}"\r\n\r\nx\r\n--B--\r\n`,
    fields: { 'content-type': 'multipart/form-data; boundary=B' },
  }),
};

describe.each(['http/1.1', 'h2'] as const)('a misused placeholder, over %s', (protocol) => {
  let world: World;
  const upstreams: Upstream[] = [];
  const at = { bound: '', other: '' };
  const mine = new Map<string, string>();
  const theirs = new Map<string, string>();
  const streams = new Map<string, H2Client>();
  const realOf = (name: string): string => `sk-proj-REAL${name}0123456789abcdefghijklmnopqrstuv`;

  beforeAll(async () => {
    for (const name of ['key.test', 'other.test']) upstreams.push(await httpUpstream({ name }));
    at.bound = `key.test:${upstreams[0]?.port ?? 0}`;
    at.other = `other.test:${upstreams[1]?.port ?? 0}`;
    const rules = [intercepted(at.bound), intercepted(at.other)];
    world = await makeWorld({
      policies: {
        'agents.yaml': policy(rules, { sources: '127.0.0.1/32', more: 'profile: keys\n' }),
        'others.yaml': policy(rules, { group: 'others', sources: '127.0.0.2/32', more: 'profile: keys\n' }),
        'profiles/keys.yaml': profile([
          ...SUBJECTS.map((place) => ({
            env: `KEY_${place.toUpperCase()}`,
            from: `env:${place}`,
            hosts: [at.bound],
            in: [place],
          })),
          { env: 'OTHER', from: 'env:other', hosts: [at.other], in: ['body'] },
        ]),
      },
      hosts: { 'key.test': ['127.0.0.1'], 'other.test': ['127.0.0.1'] },
      env: Object.fromEntries([...SUBJECTS, 'other'].map((name) => [name, realOf(name)])),
    });
    for (const [localAddress, into] of [
      ['127.0.0.1', mine],
      ['127.0.0.2', theirs],
    ] as const) {
      const env = await askOnce(world.port, 'GET /env?format=json HTTP/1.1\r\nHost: sallyport\r\n\r\n', {
        localAddress,
      });
      for (const place of SUBJECTS) into.set(place, placeholderIn(env.json(), `KEY_${place.toUpperCase()}`));
    }
    if (protocol === 'h2') {
      for (const to of [at.bound, at.other])
        streams.set(to, await connectH2(world.port, to, { ca: world.caPem }));
    }
  });
  afterAll(async () => {
    for (const client of streams.values()) client.close();
    await world.stop();
    for (const one of upstreams) await one.close();
  });

  const arrived = (): number => upstreams.reduce((sum, { seen }) => sum + seen.length, 0);
  const reasonOf = async (
    to: string,
    { method = 'GET', path = '/', fields = {}, body }: Ask,
  ): Promise<unknown> => {
    const stream = streams.get(to);
    if (stream !== undefined) {
      const asked = stream.request(`${method} ${path}`, fields);
      asked.on('error', () => {});
      asked.end(body === undefined ? undefined : Buffer.from(body, 'latin1'));
      return (await replyTo(asked)).json()['reason'];
    }
    const client = await connectTls(world.port, to, { ca: world.caPem });
    const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
    if (body !== undefined) lines.push(`Content-Length: ${body.length}\r\n`);
    client.write(`${method} ${path} HTTP/1.1\r\nHost: ${to}\r\n${lines.join('')}\r\n`);
    if (body !== undefined) client.write(Buffer.from(body, 'latin1'));
    const reply = await client.reply();
    client.destroy();
    return reply.json()['reason'];
  };
  const refused = async (to: string, ask: Ask, reason: string): Promise<void> => {
    const before = arrived();
    expect(await reasonOf(to, ask), JSON.stringify(ask).slice(-200)).toBe(reason);
    expect(arrived()).toBe(before);
  };
  const of = (holder: ReadonlyMap<string, string>, place: Subject): string => holder.get(place) ?? '';

  it.each(SUBJECTS)('of a key for %s is refused at another host, in every place', async (place) => {
    for (const build of Object.values({ ...IN, ...NEVER })) {
      await refused(at.other, build(of(mine, place)), 'placeholder_wrong_host');
    }
  });

  it.each(SUBJECTS)('of a key for %s is refused in every other place of its own host', async (place) => {
    for (const [name, build] of Object.entries({ ...IN, ...NEVER })) {
      const fits = name === place || (place === 'body' && ['a form', 'a long body'].includes(name));
      if (!fits) await refused(at.bound, build(of(mine, place)), 'placeholder_wrong_place');
    }
  });

  it.each(SUBJECTS)(
    'of another identity’s key for %s, in other letters or made up, is unknown',
    async (place) => {
      const own = of(mine, place);
      const madeUp = `${own.slice(0, -6)}${own.endsWith('AAAAAA') ? 'BBBBBB' : 'AAAAAA'}`;
      for (const text of [of(theirs, place), swapCase(own), own.toUpperCase(), madeUp]) {
        for (const name of [place, 'header', 'body', 'Cookie']) {
          await refused(
            at.bound,
            (IN[name] ?? NEVER[name] ?? IN['header'])?.(text) ?? {},
            'placeholder_unknown',
          );
        }
      }
    },
  );

  it('that is percent-encoded where nothing asks for it is refused', async () => {
    for (const place of ['header', 'query', 'path'] as const) {
      await refused(at.bound, IN[place]?.(percent(of(mine, place))) ?? {}, 'placeholder_wrong_place');
      await refused(at.bound, IN[place]?.(percent(of(theirs, place))) ?? {}, 'placeholder_unknown');
      await refused(at.other, IN[place]?.(percent(of(mine, place))) ?? {}, 'placeholder_wrong_host');
    }
    await refused(at.bound, IN['body']?.(percent(of(theirs, 'body'))) ?? {}, 'placeholder_unknown');
  });

  it('is no better than the key itself, which is a leak in every place', async () => {
    for (const build of Object.values({ ...IN, ...NEVER })) {
      await refused(at.bound, build(realOf('header')), 'secret_leak');
      await refused(at.other, build(realOf('header')), 'secret_leak');
    }
    for (const place of ['header', 'query', 'path', 'body'] as const) {
      await refused(at.bound, IN[place]?.(percent(realOf('query'))) ?? {}, 'secret_leak');
    }
  });
});
