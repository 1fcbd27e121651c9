/** I9: no upstream connection serves two identities, two targets or two policies. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { intercepted, policy } from '../helpers/scene.ts';
import { askOnce, connectTls } from '../helpers/talk.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';
import { makeWorld, type World } from '../helpers/world.ts';

describe('I9: one upstream connection, one identity', () => {
  let world: World;
  let web: Upstream;
  let plain: Upstream;
  let at = '';
  const tokens: string[] = [];

  beforeAll(async () => {
    const answer: NonNullable<Parameters<typeof httpUpstream>[0]>['answer'] = (request, response) =>
      void response.end(String(request.remotePort));
    web = await httpUpstream({ name: 'web.test', answer });
    plain = await httpUpstream({ answer });
    at = `web.test:${web.port}`;
    world = await makeWorld({
      policies: {
        'agents.yaml': policy(
          [intercepted(at), intercepted(`web.test:${plain.port}`), intercepted(`twin.test:${plain.port}`)],
          {
            sources: '127.0.0.1/32',
          },
        ),
        'others.yaml': policy([intercepted(at), intercepted(`web.test:${plain.port}`)], {
          group: 'others',
          sources: '127.0.0.2/32',
        }),
      },
      hosts: { 'web.test': ['127.0.0.1'], 'twin.test': ['127.0.0.1'] },
    });
    for (let n = 0; n < 2; n += 1) tokens.push(world.proxy.parts.tokens.create({ group: 'agents' }).token);
  });
  afterAll(async () => {
    await world.stop();
    await web.close();
    await plain.close();
  });

  const viaTls = async (who: { localAddress?: string; headers?: string } = {}): Promise<string> => {
    const client = await connectTls(world.port, at, { ca: world.caPem, ...who });
    const reply = await client.ask(`GET / HTTP/1.1\r\nHost: ${at}\r\n\r\n`);
    client.destroy();
    return reply.body.toString();
  };
  const viaPlain = async (name: string, headers = '', localAddress = '127.0.0.1'): Promise<string> => {
    const host = `${name}:${plain.port}`;
    const reply = await askOnce(
      world.port,
      `GET http://${host}/ HTTP/1.1\r\nHost: ${host}\r\n${headers}\r\n`,
      { localAddress },
    );
    return reply.body.toString();
  };
  const bearer = (token: string | undefined): string => `Proxy-Authorization: Bearer ${token}\r\n`;

  it('the same identity gets its kept connection again (so that the rest proves something)', async () => {
    expect(await viaTls()).toBe(await viaTls());
    expect(await viaPlain('web.test')).toBe(await viaPlain('web.test'));
  });

  it('four identities have four connections, however often they alternate', async () => {
    const who = [
      {},
      { localAddress: '127.0.0.2' },
      { headers: bearer(tokens[0]) },
      { headers: bearer(tokens[1]) },
    ];
    const first = [];
    for (const one of who) first.push(await viaTls(one));
    expect(new Set(first).size).toBe(4);
    for (const [index, one] of who.entries()) expect(await viaTls(one)).toBe(first[index]);
  });

  it('plain HTTP alike, on one client connection that changes its token between requests', async () => {
    const ports = [
      await viaPlain('web.test'),
      await viaPlain('web.test', '', '127.0.0.2'),
      await viaPlain('web.test', bearer(tokens[0])),
    ];
    expect(new Set(ports).size).toBe(3);
  });

  it('two names of one address have two connections', async () => {
    expect(await viaPlain('twin.test')).not.toBe(await viaPlain('web.test'));
  });

  it('a new policy begins with new connections', async () => {
    const before = await viaTls();
    world.setPolicy(
      'agents.yaml',
      policy([intercepted(at), intercepted('more.test')], { sources: '127.0.0.1/32' }),
    );
    expect(await viaTls()).not.toBe(before);
  });
});
