/**
 * I5: a real key appears in no log, error, audit record, metric, admin answer, nor in a byte that the proxy says of
 * itself to a sandbox. Every way in which it could be provoked is walked, then everything is searched.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createControl } from '../../src/control.ts';
import { intercepted, placeholderIn, policy, profile } from '../helpers/scene.ts';
import { askOnce, connectTls, open, type Reply, tryConnect } from '../helpers/talk.ts';
import { httpUpstream, rawUpstream, type Upstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, type World } from '../helpers/world.ts';

const REAL = 'sk-proj-RealKeyRealKeyRealKey0123456789abcdef';
const ROTATED = 'sk-proj-NextKeyNextKeyNextKey0123456789abcdef';

/** Forms in which a value could show: as it is, base64 in its three alignments, percent, hex. */
function forms(value: string): string[] {
  const base64 = [0, 1, 2].map((shift) => {
    const text = Buffer.from(' '.repeat(shift) + value).toString('base64');
    return text.slice(shift === 0 ? 0 : 4, -4);
  });
  return [
    value,
    value.slice(8, 36),
    encodeURIComponent(value),
    Buffer.from(value).toString('hex'),
    ...base64,
  ];
}

describe('I5: a real key stays inside', () => {
  let world: World;
  let web: Upstream;
  let broken: Awaited<ReturnType<typeof rawUpstream>>;
  let at = '';
  let key = '';
  const told: string[] = [];

  beforeAll(async () => {
    // Answers nothing of what it was sent: scrubbing what an upstream says back is another matter.
    web = await httpUpstream({ name: 'api.test', answer: (_request, response) => void response.end('ok') });
    broken = await rawUpstream((socket) => socket.once('data', () => socket.end('nonsense\r\n\r\n')), {
      name: 'api.test',
    });
    at = `api.test:${web.port}`;
    world = await makeWorld({
      policies: {
        'agents.yaml': policy([intercepted(at), intercepted(`api.test:${broken.port}`)], {
          more: 'profile: keys\n',
        }),
        'profiles/keys.yaml': profile([
          {
            env: 'API_KEY',
            from: 'file:key',
            hosts: [at, `api.test:${broken.port}`],
            in: ['header', 'basic', 'path', 'query'],
          },
        ]),
      },
      files: { key: REAL },
      hosts: { 'api.test': ['127.0.0.1'] },
    });
    const env = await ask('GET /env?format=json HTTP/1.1\r\nHost: sallyport\r\n\r\n');
    key = placeholderIn(env.json(), 'API_KEY');
  });
  afterAll(async () => {
    await world.stop();
    await web.close();
    await broken.close();
  });

  const keep = (reply: Reply): Reply => {
    told.push(reply.head, reply.body.toString('latin1'));
    return reply;
  };
  const ask = async (text: string): Promise<Reply> => keep(await askOnce(world.port, text));
  const inside = async (name: string, request: string): Promise<Reply> => {
    const client = await connectTls(world.port, name, { ca: world.caPem });
    const reply = keep(await client.ask(request));
    client.destroy();
    return reply;
  };
  const get = (target: string, fields = '', name = at): Promise<Reply> =>
    inside(name, `GET ${target} HTTP/1.1\r\nHost: ${name}\r\n${fields}\r\n`);

  const provoke = async (value: string): Promise<void> => {
    const basic = Buffer.from(`user:${value}`).toString('base64');
    for (const request of [
      [`/p/${value}/x`, ''],
      [`/q?key=${value}`, ''],
      ['/h', `Authorization: Bearer ${value}\r\n`],
      ['/b', `Authorization: Basic ${basic}\r\n`],
      ['/c', `Cookie: k=${value}\r\n`],
      [`/${encodeURIComponent(value)}`, `User-Agent: ${value}\r\nReferer: http://x/${value}\r\n`],
    ] as const) {
      await get(request[0], request[1]);
    }
    await get(`/${value}`, '', `api.test:${broken.port}`);
    await ask(
      `GET http://${value.toLowerCase()}.test/${value} HTTP/1.1\r\nHost: ${value.toLowerCase()}.test\r\nX-K: ${value}\r\n\r\n`,
    );
    await ask(`GET /env?format=${value} HTTP/1.1\r\nHost: sallyport\r\nCookie: ${value}\r\n\r\n`);
    await ask(`GET /${value} HTTP/1.1\r\nHost: sallyport\r\n\r\n`);
    await ask(`${value} / HTTP/1.1\r\nHost: sallyport\r\n\r\n`);
    await tryConnect(world.port, 'api.test:1', { headers: `Proxy-Authorization: Bearer ${value}\r\n` });
    const torn = await open(world.port);
    torn.socket.end(`GET http://api.test/${value} HTTP/1.1\r\nX: ${value}`);
    told.push((await torn.rest()).toString('latin1'));
  };

  it('walks every way, with the placeholder and with the key itself', async () => {
    await provoke(key);
    expect(web.seen.map(({ url, headers }) => url + JSON.stringify(headers)).join('\n')).toContain(REAL);
    const before = web.seen.length;
    await provoke(REAL);
    expect(web.seen.length).toBe(before);
    world.write('key', ROTATED);
    await eventually(async () => {
      await get('/again', `X-Key: ${key}\r\n`);
      return web.seen.at(-1)?.headers['x-key'] === ROTATED;
    });
    await provoke(REAL);
    await provoke(ROTATED);
  });

  it('shows it nowhere', async () => {
    const control = createControl(world.proxy);
    const admin = JSON.stringify([
      control.ready(),
      control.status(),
      control.groups(),
      control.flows(),
      control.reload(),
    ]);
    const places: Record<string, string> = {
      'answers to the sandbox': told.join('\n'),
      'the log': world.log(),
      'the metrics': await world.metrics(),
      'the admin side': admin,
      'the parts, inspected': inspect(world.proxy.parts, { depth: 6, maxArrayLength: 50 }),
    };
    const state = path.join(world.dir, '.sallyport');
    for (const name of readdirSync(state, { recursive: true, encoding: 'utf8' })) {
      const file = path.join(state, name);
      if (statSync(file).isFile()) places[name] = readFileSync(file, 'latin1');
    }
    expect(Object.keys(places).some((name) => name.includes('audit'))).toBe(true);
    for (const [place, text] of Object.entries(places)) {
      for (const value of [REAL, ROTATED]) {
        for (const form of forms(value)) {
          expect(text.includes(form) ? `${place} holds ${form}` : 'clean').toBe('clean');
        }
      }
    }
  });

  it('shows it nowhere when it is sent as a host name, in any case', async () => {
    for (const host of [REAL, REAL.toLowerCase(), `${REAL}.evil.test`]) {
      for (const text of [
        `GET http://${host}/ HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
        `CONNECT ${host}:443 HTTP/1.1\r\nHost: ${host}:443\r\n\r\n`,
      ]) {
        const reply = await askOnce(world.port, text);
        if (host.includes(REAL)) expect(reply.json()).toMatchObject({ status: 403, reason: 'secret_leak' });
        expect((reply.head + reply.body.toString()).includes(REAL)).toBe(false);
      }
    }
    const seen = JSON.stringify(await world.audit()) + (await world.metrics());
    expect(seen.includes(REAL)).toBe(false);
  });
});
