/**
 * A key or an identity that changes while connections are open: keep-alive, an event stream and a WebSocket, each of them
 * mid-way. What is asked next uses what holds now; who lost its identity or is locked is cut (contract 11, "Cutting").
 */
import type http from 'node:http';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openVault, type Vault } from '../../src/vault/sealed.ts';
import { intercepted, placeholderIn, policy, profile, records } from '../helpers/scene.ts';
import { askOnce, connectTls, type Talk } from '../helpers/talk.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';
import { frameOf, handshakeText, type WsUpstream, wsUpstream } from '../helpers/websocket.ts';
import { eventually, makeWorld, type World } from '../helpers/world.ts';

const OLD = 'ghp_oldoldoldoldoldoldoldoldoldoldoldold';
const NEW = 'ghp_newnewnewnewnewnewnewnewnewnewnewnew';
const CUT_MS = 5_000;
const LOCK_MS = 1_000;
/** what a loaded machine may add to the moment at which a test sees it */
const SLACK_MS = 1_500;

describe('while connections are open', () => {
  let api: Upstream;
  let gateway: WsUpstream;
  let events: http.ServerResponse | null = null;
  let world: World;
  let vault: Vault;
  let login = '';
  let tokenId = '';
  let held = '';
  let open: { keepAlive: Talk; stream: Talk; socket: Talk };
  const at = { api: '', gateway: '' };

  beforeAll(async () => {
    api = await httpUpstream({
      name: 'api.test',
      answer: (request, response) => {
        if (request.url !== '/events') return response.end(`you: ${request.headers.authorization}`);
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.write('data: begin\n\n');
        events = response;
        return response;
      },
    });
    gateway = await wsUpstream({ name: 'gateway.test' });
    at.api = `api.test:${api.port}`;
    at.gateway = `gateway.test:${gateway.port}`;
  });
  afterAll(async () => {
    await api.close();
    await gateway.close();
  });

  const group = (more = ''): string =>
    policy([intercepted(at.api), intercepted(at.gateway)], { more: `profile: keys\n${more}` });
  const next = () =>
    open.keepAlive.ask(`GET / HTTP/1.1\r\nHost: ${at.api}\r\nAuthorization: Bearer ${held}\r\n\r\n`);
  /** The upstream says it on the stream; what arrives at the client. */
  const pushed = async (text: string): Promise<string> => {
    const event = `data: ${text} end\n\n`;
    events?.write(event);
    let came = '';
    while (!came.includes(' end\n\n')) came += (await open.stream.bytes(1)).toString();
    return came;
  };
  /** Sent by the client and echoed; what arrives at the upstream, and at the client again. */
  const echoed = async (text: string): Promise<readonly [string, string]> => {
    open.socket.write(frameOf(text));
    let came = '';
    while (came.length < 2 + text.length) came += (await open.socket.bytes(1)).toString('latin1');
    return [gateway.seen.at(-1)?.text ?? '', came.slice(2)];
  };
  /** The client's socket was told to close, with this reason. */
  const closedWith = async (text: string): Promise<string> => {
    open.socket.write(frameOf(text));
    return (await open.socket.rest()).subarray(4).toString();
  };

  beforeEach(async () => {
    gateway.seen.length = 0;
    world = await makeWorld({
      policies: {
        'agents.yaml': group(),
        'profiles/keys.yaml': profile([
          {
            env: 'API_KEY',
            from: 'vault:api',
            hosts: [at.api, at.gateway],
            in: ['header', 'websocket'],
          },
        ]),
      },
      hosts: { 'api.test': ['127.0.0.1'], 'gateway.test': ['127.0.0.1'] },
    });
    vault = openVault({ dir: path.join(world.dir, '.sallyport') });
    await vault.set('api', Buffer.from(OLD));
    const { record, token } = world.proxy.parts.tokens.create({ group: 'agents' });
    tokenId = record.id;
    login = `Proxy-Authorization: Bearer ${token}\r\n`;
    const page = `GET /env?format=json HTTP/1.1\r\nHost: sallyport\r\n${login}\r\n`;
    // Its shape is the value's, once that is known.
    held = await eventually(async () => {
      const name = placeholderIn((await askOnce(world.port, page)).json(), 'API_KEY');
      return name.startsWith('ghp_') && name;
    });
    const through = (host: string) => connectTls(world.port, host, { ca: world.caPem, headers: login });
    const authorization = `Authorization: Bearer ${held}\r\n`;
    open = {
      keepAlive: await through(at.api),
      stream: await through(at.api),
      socket: await through(at.gateway),
    };
    expect((await next()).body.toString()).toBe(`you: Bearer ${held}`);
    open.stream.write(`GET /events HTTP/1.1\r\nHost: ${at.api}\r\n${authorization}\r\n`);
    expect((await open.stream.head()).status).toBe(200);
    await open.stream.bytes('d\r\ndata: begin\n\n\r\n'.length);
    open.socket.write(handshakeText(at.gateway, '/ws', authorization));
    expect((await open.socket.head()).status).toBe(101);
    expect(await echoed(held)).toEqual([OLD, held]);
  });
  afterEach(async () => {
    for (const client of Object.values(open)) client.destroy();
    await world.stop();
  });

  const arrived = () => api.seen.at(-1)?.headers.authorization;
  const overWithin = async (limitMs: number): Promise<void> => {
    const started = Date.now();
    await Promise.all(Object.values(open).map((client) => client.over(limitMs + SLACK_MS)));
    expect(Date.now() - started).toBeLessThan(limitMs + SLACK_MS);
  };

  it('a rotated key is used by the next request and message, and neither value comes back on any of them', async () => {
    await vault.rotate('api', Buffer.from(NEW));
    await eventually(async () => (await next()).status === 200 && arrived() === `Bearer ${NEW}`);
    expect(await echoed(held)).toEqual([NEW, held]);
    for (const value of [OLD, NEW]) {
      const came = await pushed(value);
      expect(came).toContain(`data: ${held} end`);
    }
    expect((await askedWith(NEW)).json()).toMatchObject({ reason: 'secret_leak' });
    expect((await askedWith(OLD)).json()).toMatchObject({ reason: 'secret_leak' });
  });

  it('a removed key is refused in the next request and message; what had begun goes on without it', async () => {
    await vault.rm('api');
    await eventually(async () => (await next()).status === 503);
    expect((await next()).json()).toMatchObject({ reason: 'secret_unavailable' });
    expect(await pushed(OLD)).toContain(`data: ${held} end`);
    expect(await closedWith(held)).toBe('secret_unavailable');
    expect(gateway.seen).toHaveLength(1);
    expect((await askedWith(OLD)).json()).toMatchObject({ reason: 'secret_leak' });
  });

  it('an excluded key does not exist for the next request and message', async () => {
    world.setPolicy('agents.yaml', group('exclude: [API_KEY]\n'));
    expect((await next()).json()).toMatchObject({ status: 403, reason: 'placeholder_unknown' });
    expect(await pushed('more')).toContain('data: more end');
    expect(await closedWith(held)).toBe('placeholder_unknown');
    expect(gateway.seen).toHaveLength(1);
  });

  it('a revoked token cuts all of them', async () => {
    world.proxy.parts.tokens.revoke(tokenId);
    await overWithin(CUT_MS);
    expect(await records(world, { kind: 'end', ended: 'cut', reason: 'auth_invalid' })).not.toEqual([]);
  });

  it('a lock cuts all of them', async () => {
    await world.proxy.parts.lockdown.lock({ group: 'agents', by: 'ann', reason: 'incident' });
    await overWithin(LOCK_MS);
    expect(await records(world, { kind: 'end', ended: 'cut', reason: 'locked_down' })).not.toEqual([]);
  });

  const askedWith = (value: string) =>
    open.keepAlive.ask(`GET / HTTP/1.1\r\nHost: ${at.api}\r\nAuthorization: Bearer ${value}\r\n\r\n`);
});
