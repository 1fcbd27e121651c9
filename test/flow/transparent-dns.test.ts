/** The name server of sandboxes: who is not known learns nothing, a flood keeps nobody waiting, refusals are recorded once. */
import { spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import net from 'node:net';
import { decode, encode } from 'dns-packet';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { describeWith, hasNamespaces } from '../helpers/programs.ts';
import { intercepted, metric, policy, records, theRecord, tunnelled } from '../helpers/scene.ts';
import { rawUpstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, movableClock, type World } from '../helpers/world.ts';

/** Who may make network namespaces may make raw sockets, too. */
const MAY_FORGE = hasNamespaces();
const clock = movableClock();
let world: World;
let port = 0;

beforeAll(async () => {
  world = await makeWorld({
    policies: { 'agents.yaml': policy([tunnelled('api.test')], { sources: '127.0.0.0/24' }) },
    settings:
      'transparent: { dns: "127.0.0.1:0", tls: "127.0.0.1:0", http: "127.0.0.1:0", address: 127.0.0.9 }\n',
    clock,
  });
  port = world.proxy.transparent.dns?.port ?? 0;
});
afterAll(() => world.stop());

const query = (name: string, id = 1): Buffer =>
  encode({ type: 'query', id, questions: [{ type: 'A', name }] });

async function ask(name: string, from = '127.0.0.1') {
  const socket = createSocket('udp4');
  socket.bind(0, from);
  await once(socket, 'listening');
  const answer = once(socket, 'message');
  socket.send(query(name), port, '127.0.0.1');
  const came: unknown[] = await answer;
  const [bytes] = came;
  socket.close();
  if (!Buffer.isBuffer(bytes)) throw new Error('no bytes');
  const reply = decode(bytes);
  // The decoder knows the word; its types do not.
  return { rcode: 'rcode' in reply ? String(reply.rcode) : '', answers: reply.answers ?? [] };
}

describe('the name server', () => {
  it('gives the proxy’s address for a name that could be allowed', async () => {
    expect((await ask('api.test')).answers).toMatchObject([{ data: '127.0.0.9' }]);
  });

  it('tells an address that is in no group nothing', async () => {
    expect(await ask('api.test', '127.0.1.1')).toEqual({ rcode: 'REFUSED', answers: [] });
  });

  it('records the same refused name once in ten seconds, and counts every answer', async () => {
    for (let turn = 0; turn < 3; turn += 1) expect((await ask('exfil.test')).rcode).toBe('NXDOMAIN');
    expect(await metric(world, 'sallyport_dns_answers_total{outcome="nxdomain"}')).toBe(3);
    const wanted = { host: 'exfil.test', via: 'transparent-dns' };
    expect((await records(world, wanted)).map(({ kind }) => kind)).toEqual(['decision', 'end']);
    clock.advance(11_000);
    await ask('exfil.test');
    expect(await records(world, wanted)).toHaveLength(4);
  });

  it('follows the policy in force', async () => {
    world.setPolicy('agents.yaml', policy([tunnelled('other.test')], { sources: '127.0.0.0/24' }));
    expect((await ask('api.test')).rcode).toBe('NXDOMAIN');
    expect((await ask('other.test')).rcode).toBe('NOERROR');
    world.setPolicy('agents.yaml', policy([tunnelled('api.test')], { sources: '127.0.0.0/24' }));
  });

  it('drops what one address asks too often, and goes on serving the others', async () => {
    const flood = net.connect({ port, host: '127.0.0.1', localAddress: '127.0.0.66' });
    flood.on('error', () => {});
    flood.resume();
    const one = query('api.test');
    const framed = Buffer.concat([Buffer.from([0, one.length]), one]);
    flood.write(Buffer.concat(Array.from({ length: 1_200 }, () => framed)));
    await once(flood, 'close');
    expect(await metric(world, 'sallyport_dns_answers_total{outcome="dropped"}')).toBe(1);
    expect((await ask('api.test')).rcode).toBe('NOERROR');
  });

  it('lets one address have some of its TCP connections, not all', async () => {
    const hold = Array.from({ length: 40 }, () =>
      net.connect({ port, host: '127.0.0.1', localAddress: '127.0.0.67' }),
    );
    let ended = 0;
    for (const socket of hold) {
      socket.on('error', () => {});
      socket.on('close', () => {
        ended += 1;
      });
      socket.resume();
    }
    await eventually(() => ended === 24);
    for (const socket of hold) socket.destroy();
    expect((await ask('api.test')).rcode).toBe('NOERROR');
  });

  it('ends a TCP connection that promises more than a question can be', async () => {
    const socket = net.connect(port, '127.0.0.1');
    socket.on('error', () => {});
    socket.write(Buffer.concat([Buffer.from([0xff, 0xff]), Buffer.alloc(5_000)]));
    await once(socket, 'close');
    expect((await ask('api.test')).rcode).toBe('NOERROR');
  });
});

/** One question from port 0, which no socket can be bound to but any packet can name. */
const FROM_NOWHERE = `
import socket, sys
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
asked = sys.stdin.buffer.read()
head = b''.join(n.to_bytes(2, 'big') for n in (0, int(sys.argv[1]), 8 + len(asked), 0))
raw.sendto(head + asked, ('127.0.0.1', 0))
`;

describeWith(MAY_FORGE ? ['python3'] : ['a raw socket'], 'a question from no port', () => {
  it('ends nothing', async () => {
    const before = await metric(world, 'sallyport_dns_answers_total{outcome="address"}');
    const sent = spawnSync('python3', ['-c', FROM_NOWHERE, String(port)], { input: query('api.test') });
    expect([sent.status, sent.status === 0 ? '' : sent.stderr.toString()]).toEqual([0, '']);
    const counted = async () =>
      (await metric(world, 'sallyport_dns_answers_total{outcome="address"}')) > before;
    await eventually(counted);
    expect((await ask('api.test')).rcode).toBe('NOERROR');
  });
});

describe('the transparent listeners', () => {
  const begin = async (at: 'tls' | 'http', bytes: Buffer | string): Promise<net.Socket> => {
    const socket = net.connect(world.proxy.transparent[at]?.port ?? 0, '127.0.0.1');
    socket.on('error', () => {});
    await once(socket, 'connect');
    socket.write(bytes);
    return socket;
  };

  it('end a client that never finishes its ClientHello, and record it', async () => {
    const socket = await begin('tls', Buffer.from([0x16, 3, 1, 2, 0, 1]));
    const closed = once(socket, 'close');
    socket.resume();
    await eventually(() =>
      [...world.proxy.parts.live.links()].some(({ socket: { bytesRead } }) => bytesRead === 6),
    );
    clock.advance(11_000);
    await closed;
    const wanted = { reason: 'client_timeout', ended: 'timeout', via: 'transparent-tls', group: 'agents' };
    await theRecord(world, { kind: 'end', ...wanted });
  });

  it('record a client that leaves inside its ClientHello', async () => {
    const socket = await begin('tls', Buffer.from([0x16, 3, 1, 2, 0, 1]));
    await eventually(() =>
      [...world.proxy.parts.live.links()].some(({ socket: { bytesRead } }) => bytesRead === 6),
    );
    socket.resetAndDestroy();
    await theRecord(world, { kind: 'end', ended: 'client_abort', via: 'transparent-tls', group: 'agents' });
  });

  it('list a plain request while it is open, and no longer', async () => {
    const silent = await rawUpstream(() => {});
    world.setPolicy(
      'agents.yaml',
      policy([intercepted(`127.0.0.1:${silent.port}`)], { sources: '127.0.0.0/24' }),
    );
    const socket = await begin('http', `GET / HTTP/1.1\r\nHost: 127.0.0.1:${silent.port}\r\n\r\n`);
    const { live } = world.proxy.parts;
    await eventually(() => live.connectionsOpen().length === 1);
    expect(live.connectionsOpen()[0]?.target.via).toBe('transparent-http');
    socket.resetAndDestroy();
    await eventually(() => live.connectionsOpen().length === 0);
    await silent.close();
  });

  it('answer bytes that are no TLS with an alert, and record them', async () => {
    const socket = await begin('tls', 'GET / HTTP/1.1\r\n\r\n');
    const came: unknown[] = await once(socket, 'data');
    const [bytes] = came;
    expect(bytes).toEqual(Buffer.from([0x15, 3, 3, 0, 2, 2, 49]));
    await eventually(async () => (await records(world, { reason: 'not_tls', kind: 'end' })).length === 1);
  });

  it.each([
    ['CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n', 'method_refused'],
    ['GET / HTTP/1.1\r\nHost: a\u0000b\r\n\r\n', 'bad_request'],
    ['GET / HTTP/1.1\r\nHost: a..b\r\n\r\n', 'bad_authority'],
    ['GET http://a.test/ HTTP/1.1\r\nHost: b.test\r\n\r\n', 'host_mismatch'],
    ['OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n', 'bad_request'],
    ['GET /env HTTP/1.1\r\nHost: a.test\r\n\r\n', 'host_not_allowed'],
  ])('refuse %j as %s', async (text, reason) => {
    const socket = await begin('http', Buffer.from(text, 'latin1'));
    const came: unknown[] = await once(socket, 'data');
    const [bytes] = came;
    expect(String(bytes)).toContain(`"reason":"${reason}"`);
    socket.destroy();
  });

  it('are the proxy’s own: no rule opens them', () => {
    const own = world.proxy.parts.state.others.map(({ port: at }) => at);
    const { tls, http, dns } = world.proxy.transparent;
    expect(own).toEqual([tls?.port, http?.port, dns?.port]);
  });
});
