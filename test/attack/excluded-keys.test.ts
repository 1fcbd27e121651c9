/**
 * A key that a group's policy excludes does not exist for it: not in its environment, not by the placeholder that it
 * was given before, not by another group's, and no answer tells it from one that never was.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectH2 } from '../helpers/h2.ts';
import { intercepted, placeholderIn, policy, profile } from '../helpers/scene.ts';
import { askOnce, connectTls, type Reply, type Talk } from '../helpers/talk.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';
import { makeWorld, type World } from '../helpers/world.ts';

const REAL = {
  OPENAI_API_KEY: 'sk-proj-0123456789abcdefghijklmnopqrstuvwxyzABCD',
  GITHUB_TOKEN: 'ghp_0123456789abcdefghijklmnopqrstuvwxyz',
  // Too short for the marker of a placeholder: nothing but memory tells that one was issued.
  PIN: '4711471147114711',
  EMAIL_API_KEY: 'SG.0123456789abcdefghijkl.0123456789abcdefghijklmnopqrstuvwxyz0123456',
  BILLING_KEY: 'sk_live_0123456789abcdefghijklmn',
} as const;

type Name = keyof typeof REAL;
const NAMES = Object.keys(REAL) as Name[];
const EXCLUDED: readonly Name[] = ['EMAIL_API_KEY', 'PIN'];
const EXCLUDE = `profile: keys\nexclude: [${EXCLUDED.join(', ')}]\n`;

describe('an excluded key', () => {
  let world: World;
  let web: Upstream;
  let at = '';
  /** placeholders of the group, from before the exclusion, and of a group that may use all */
  let mine: Record<Name, string>;
  let theirs: Record<Name, string>;
  let open: Talk;

  const rules = (): string[] => [intercepted(at)];
  const ask = (text: string, localAddress = '127.0.0.1'): Promise<Reply> =>
    askOnce(world.port, `${text} HTTP/1.1\r\nHost: sallyport\r\n\r\n`, { localAddress });
  const environment = async (localAddress: string): Promise<Record<Name, string>> => {
    const env = (await ask('GET /env?format=json', localAddress)).json();
    const pairs = NAMES.map((name) => [name, placeholderIn(env, name)]);
    return Object.fromEntries(pairs) as Record<Name, string>;
  };
  const inside = async (line: string, fields = '', body = ''): Promise<Reply> => {
    const client = await connectTls(world.port, at, { ca: world.caPem, localAddress: '127.0.0.1' });
    const reply = await client.ask(`${line} HTTP/1.1\r\nHost: ${at}\r\n${fields}\r\n${body}`);
    client.destroy();
    return reply;
  };

  beforeAll(async () => {
    web = await httpUpstream({ name: 'api.test' });
    at = `api.test:${web.port}`;
    const keys = NAMES.map((env) => ({
      env,
      from: `env:${env}`,
      hosts: [at],
      in: ['header', 'basic', 'query', 'path', 'body'],
    }));
    world = await makeWorld({
      policies: {
        'agents.yaml': policy(rules(), { sources: '127.0.0.1/32', more: 'profile: keys\n' }),
        'others.yaml': policy(rules(), { group: 'others', sources: '127.0.0.2/32', more: 'profile: keys\n' }),
        'profiles/keys.yaml': profile(keys),
      },
      hosts: { 'api.test': ['127.0.0.1'] },
      env: REAL,
    });
    mine = await environment('127.0.0.1');
    theirs = await environment('127.0.0.2');
    open = await connectTls(world.port, at, { ca: world.caPem, localAddress: '127.0.0.1' });
    const before = await open.ask(`GET / HTTP/1.1\r\nHost: ${at}\r\nX-Key: ${mine.PIN}\r\n\r\n`);
    expect(before.status).toBe(200);
    expect(web.seen.at(-1)?.headers['x-key']).toBe(REAL.PIN);
    world.setPolicy('agents.yaml', policy(rules(), { sources: '127.0.0.1/32', more: EXCLUDE }));
  });
  afterAll(async () => {
    open.destroy();
    await world.stop();
    await web.close();
  });

  it('is counted and not named: 3 of 5', async () => {
    expect((await ask('GET /whoami')).json()).toMatchObject({ keys: { usable: 3, total: 5 } });
    expect((await ask('GET /whoami', '127.0.0.2')).json()).toMatchObject({ keys: { usable: 5, total: 5 } });
    for (const path of ['/whoami', '/install.sh', '/doctor.sh', '/healthz']) {
      const { body } = await ask(`GET ${path}`);
      for (const name of EXCLUDED) expect(body.toString()).not.toMatch(new RegExp(`\\b${name}\\b`));
    }
  });

  it.each(['sh', 'dotenv', 'json', 'docker', 'compose', 'k8s'])(
    'is not in the environment as %s',
    async (format) => {
      const { status, body } = await ask(`GET /env?format=${format}`);
      expect(status).toBe(200);
      const text = body.toString();
      expect(NAMES.filter((name) => new RegExp(`\\b${name}\\b`).test(text))).toEqual(
        NAMES.filter((name) => !EXCLUDED.includes(name)),
      );
      for (const name of EXCLUDED) expect(text).not.toContain(mine[name]);
    },
  );

  it.each(EXCLUDED)('%s cannot be used by the placeholder from before, wherever it stands', async (name) => {
    const before = web.seen.length;
    const basic = Buffer.from(`x:${mine[name]}`).toString('base64');
    const json = JSON.stringify({ key: mine[name] });
    const sized = `Content-Type: application/json\r\nContent-Length: ${json.length}\r\n`;
    for (const [line, fields = '', body = ''] of [
      ['GET /', `X-Key: ${mine[name]}\r\n`],
      ['GET /', `Authorization: Basic ${basic}\r\n`],
      [`GET /${mine[name]}`],
      [`GET /?key=${mine[name]}`],
      ['POST /', sized, json],
    ] as const) {
      const reply = await inside(line, fields, body);
      expect(reply.json(), line).toMatchObject({ status: 403, reason: 'placeholder_unknown' });
    }
    const h2 = await connectH2(world.port, at, { ca: world.caPem, localAddress: '127.0.0.1' });
    const reply = await h2.ask('GET /', { 'x-key': mine[name] });
    expect(reply.json()).toMatchObject({ reason: 'placeholder_unknown' });
    h2.close();
    expect(web.seen.length).toBe(before);
  });

  it('cannot be used on a connection that is open from before', async () => {
    const before = web.seen.length;
    const reply = await open.ask(`GET / HTTP/1.1\r\nHost: ${at}\r\nX-Key: ${mine.PIN}\r\n\r\n`);
    expect(reply.json()).toMatchObject({ status: 403, reason: 'placeholder_unknown' });
    expect(web.seen.length).toBe(before);
  });

  it('gets the same answer as another group’s and a made-up one, to the byte but for the id', async () => {
    const last = mine.EMAIL_API_KEY.at(-1) === 'a' ? 'b' : 'a';
    const candidates = {
      excluded: mine.EMAIL_API_KEY,
      'excluded, another group’s': theirs.EMAIL_API_KEY,
      'usable, another group’s': theirs.OPENAI_API_KEY,
      'made up': mine.EMAIL_API_KEY.slice(0, -1) + last,
      'short, excluded': mine.PIN,
      'short, another group’s': theirs.PIN,
    };
    const answers = new Map<string, string[]>();
    for (const [what, key] of Object.entries(candidates)) {
      const reply = await inside('GET /', `X-Key: ${key}\r\n`);
      const id = String(reply.json()['request_id']);
      const text = `${reply.head}${reply.body.toString()}`
        .replaceAll(id, 'ID')
        .replace(/^date:.*$/im, 'date:');
      answers.set(text, [...(answers.get(text) ?? []), what]);
    }
    expect([...answers.values()]).toEqual([Object.keys(candidates)]);
  });

  it('is not spoken of where its real value is known: that is a leak like any other', async () => {
    const texts = new Set<string>();
    for (const name of ['EMAIL_API_KEY', 'OPENAI_API_KEY'] as const) {
      const reply = await inside('GET /', `X-Key: ${REAL[name]}\r\n`);
      const { request_id: id, ...rest } = reply.json();
      expect(id).toBeDefined();
      expect(rest['reason']).toBe('secret_leak');
      texts.add(JSON.stringify(rest));
    }
    expect(texts.size).toBe(1);
  });

  it('stays usable for a group that does not exclude it', async () => {
    const client = await connectTls(world.port, at, { ca: world.caPem, localAddress: '127.0.0.2' });
    const reply = await client.ask(`GET / HTTP/1.1\r\nHost: ${at}\r\nX-Key: ${theirs.EMAIL_API_KEY}\r\n\r\n`);
    expect(reply.status).toBe(200);
    expect(web.seen.at(-1)?.headers['x-key']).toBe(REAL.EMAIL_API_KEY);
    client.destroy();
  });
});
