/** A reload that still names a host and gives it less: what is open, or about to be, is judged by what holds now. */
import net from 'node:net';
import tls from 'node:tls';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { intercepted, placeholderIn, policy, profile, records, theRecord } from '../helpers/scene.ts';
import { askOnce, connect, connectTls, type Talk } from '../helpers/talk.ts';
import { httpUpstream, listenOn, rawUpstream, type Upstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, upstreamContext, type World } from '../helpers/world.ts';

const REAL = 'sk-proj-0123456789abcdefghijklmnopqrstuvwxyzABCD';

describe('a reload', () => {
  let raw: Awaited<ReturnType<typeof rawUpstream>>;
  let web: Upstream;
  let slow: net.Server;
  /** connections whose handshake has to wait */
  const waiting: net.Socket[] = [];
  let heard = '';
  let world: World;
  let at = { raw: '', web: '', slow: '' };
  const clients: Talk[] = [];

  beforeAll(async () => {
    raw = await rawUpstream((socket) => socket.pipe(socket));
    web = await httpUpstream({
      name: 'web.test',
      answer: (_request, response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.write('data: 1\n\n');
      },
    });
    slow = net.createServer((socket) => void waiting.push(socket.on('error', () => {})));
    at = {
      raw: `raw.test:${raw.port}`,
      web: `web.test:${web.port}`,
      slow: `slow.test:${await listenOn(slow)}`,
    };
  });
  afterAll(async () => {
    await raw.close();
    await web.close();
    slow.close();
  });

  const SLOW = (): string => intercepted(at.slow);
  const group = (rules: readonly string[], more = 'profile: keys\n'): string =>
    policy([...rules, SLOW()], { more });
  const wide = (): string[] => [
    `allow: "${at.raw}", protocol: any, addresses: [127.0.0.0/8, 10.0.0.0/8]`,
    `allow: "${at.web}", methods: [GET], addresses: [127.0.0.0/8, 10.0.0.0/8]`,
  ];
  beforeEach(async () => {
    heard = '';
    world = await makeWorld({
      policies: {
        'agents.yaml': group(wide()),
        'profiles/keys.yaml': profile([{ env: 'API_KEY', from: 'env:REAL', hosts: [at.slow] }]),
      },
      hosts: Object.fromEntries(['raw', 'web', 'slow'].map((name) => [`${name}.test`, ['127.0.0.1']])),
      env: { REAL },
    });
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.destroy();
    for (const socket of waiting.splice(0)) socket.destroy();
    await world.stop();
  });
  const keep = (client: Talk): Talk => {
    clients.push(client);
    return client;
  };
  const openBoth = async (): Promise<{ tunnel: Talk; stream: Talk }> => {
    const tunnel = keep(await connect(world.port, at.raw));
    tunnel.write('hello');
    await tunnel.bytes(5);
    const stream = keep(await connectTls(world.port, at.web, { ca: world.caPem }));
    stream.write(`GET /events HTTP/1.1\r\nHost: ${at.web}\r\n\r\n`);
    await stream.bytes(20);
    return { tunnel, stream };
  };

  it('that takes addresses away from a rule cuts what was let to them', async () => {
    const { tunnel, stream } = await openBoth();
    world.setPolicy('agents.yaml', group(wide().map((rule) => rule.replace('127.0.0.0/8, ', ''))));
    await tunnel.over();
    await stream.over();
    const cut = await eventually(async () => {
      const ends = await records(world, { kind: 'end', ended: 'cut', reason: 'address_not_allowed' });
      return ends.length === 2 && ends;
    });
    expect(new Set(cut.map(({ host }) => host))).toEqual(new Set(['raw.test', 'web.test']));
  });

  it('that gives more leaves all open', async () => {
    const { tunnel, stream } = await openBoth();
    const more = wide().map((rule) => rule.replace('10.0.0.0/8', '10.0.0.0/8, 192.168.0.0/16'));
    world.setPolicy('agents.yaml', group(more));
    tunnel.write('again');
    expect((await tunnel.bytes(5)).toString()).toBe('again');
    expect(stream.socket.destroyed).toBe(false);
    expect(await records(world, { kind: 'end', ended: 'cut' })).toEqual([]);
  });

  it('that no longer lets any bytes through cuts the tunnel in which they are', async () => {
    const { tunnel } = await openBoth();
    world.setPolicy(
      'agents.yaml',
      group(wide().map((rule) => rule.replace('protocol: any', 'protocol: tls'))),
    );
    await tunnel.over();
    await theRecord(world, { kind: 'end', ended: 'cut', host: 'raw.test', reason: 'rule_denied' });
  });

  it('that takes a key away while the upstream is being connected keeps the key from it', async () => {
    const env = await askOnce(world.port, 'GET /env?format=json HTTP/1.1\r\nHost: sallyport\r\n\r\n');
    const held = placeholderIn(env.json(), 'API_KEY');
    const client = keep(await connectTls(world.port, at.slow, { ca: world.caPem }));
    client.write(`GET / HTTP/1.1\r\nHost: ${at.slow}\r\nAuthorization: Bearer ${held}\r\n\r\n`);
    const socket = await eventually(() => waiting[0]);
    world.setPolicy('agents.yaml', group(wide(), 'profile: keys\nexclude: [API_KEY]\n'));
    const context = upstreamContext('slow.test');
    new tls.TLSSocket(socket, { isServer: true, secureContext: context, ALPNProtocols: ['http/1.1'] })
      .on('error', () => {})
      .on('data', (bytes: Buffer) => {
        heard += bytes.toString('latin1');
      });
    const answer = await client.reply();
    expect(answer.json()).toMatchObject({ status: 503, reason: 'not_ready' });
    expect(heard).toBe('');
  });
});
