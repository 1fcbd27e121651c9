/**
 * The scene of most attacks: a host with a bound key, another allowed host, a plain one, a second group on
 * 127.0.0.2, and watchers at every upstream. What arrives there, or does not, is the verdict.
 */
import { intercepted, placeholderIn, policy, profile, tunnelled } from './scene.ts';
import { askOnce, connectTls, type Reply } from './talk.ts';
import { httpUpstream, rawUpstream, type Upstream } from './upstream.ts';
import { makeWorld, type World, type WorldOptions } from './world.ts';

export const REAL = 'sk-proj-0123456789abcdefghijklmnopqrstuvwxyzABCD';

export type AttackWorld = {
  readonly world: World;
  /** key.test: the host that the key is bound to */
  readonly bound: Upstream;
  /** other.test: allowed, no key */
  readonly other: Upstream;
  /** plain.test: HTTP in the clear; the key is bound there too */
  readonly plain: Upstream;
  /** tunnel.test: TLS expected, bytes as they come */
  readonly tunnel: { readonly port: number; readonly heard: () => Buffer; connections(): number };
  readonly at: {
    readonly bound: string;
    readonly other: string;
    readonly plain: string;
    readonly tunnel: string;
  };
  /** placeholder of the group on 127.0.0.1, and of the one on 127.0.0.2 */
  readonly mine: string;
  readonly theirs: string;
  /** one request inside TLS to `at`; `text` without Host */
  inside(at: string, line: string, fields?: string, body?: string): Promise<Reply>;
  /** requests that reached any HTTP upstream */
  arrived(): number;
  stop(): Promise<void>;
};

export async function attackWorld(more: Partial<WorldOptions> = {}): Promise<AttackWorld> {
  const bound = await httpUpstream({ name: 'key.test' });
  const other = await httpUpstream({ name: 'other.test' });
  const plain = await httpUpstream();
  let heard = Buffer.alloc(0);
  const raw = await rawUpstream((socket) => {
    socket.on('data', (bytes: Buffer) => {
      heard = Buffer.concat([heard, bytes]);
    });
  });
  const at = {
    bound: `key.test:${bound.port}`,
    other: `other.test:${other.port}`,
    plain: `plain.test:${plain.port}`,
    tunnel: `tunnel.test:${raw.port}`,
  };
  const rules = [
    intercepted(at.bound),
    intercepted(at.other),
    intercepted(at.plain),
    tunnelled(at.tunnel, 'protocol: tls'),
  ];
  const names = ['key.test', 'other.test', 'plain.test', 'tunnel.test', 'evil.test'];
  const world = await makeWorld({
    policies: {
      'agents.yaml': policy(rules, { sources: '127.0.0.1/32', more: 'profile: keys\n' }),
      'others.yaml': policy(rules, { group: 'others', sources: '127.0.0.2/32', more: 'profile: keys\n' }),
      'profiles/keys.yaml': profile([{ env: 'API_KEY', from: 'env:REAL', hosts: [at.bound, at.plain] }]),
    },
    hosts: Object.fromEntries(names.map((name) => [name, ['127.0.0.1']])),
    env: { REAL },
    ...more,
  });
  const keyOf = async (localAddress: string): Promise<string> => {
    const env = await askOnce(world.port, 'GET /env?format=json HTTP/1.1\r\nHost: sallyport\r\n\r\n', {
      localAddress,
    });
    return placeholderIn(env.json(), 'API_KEY');
  };
  return {
    world,
    bound,
    other,
    plain,
    tunnel: { port: raw.port, heard: () => heard, connections: raw.connections },
    at,
    mine: await keyOf('127.0.0.1'),
    theirs: await keyOf('127.0.0.2'),
    inside: async (target, line, fields = '', body = '') => {
      const client = await connectTls(world.port, target, { ca: world.caPem });
      const reply = await client.ask(`${line} HTTP/1.1\r\nHost: ${target}\r\n${fields}\r\n${body}`);
      client.destroy();
      return reply;
    },
    arrived: () => bound.seen.length + other.seen.length + plain.seen.length,
    stop: async () => {
      await world.stop();
      for (const one of [bound, other, plain, raw]) await one.close();
    },
  };
}
