/** HTTP in the clear inside a CONNECT where TLS is due, as Node's fetch sends it for `http://host:8080`. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { intercepted, policy, theRecord, tunnelled } from '../helpers/scene.ts';
import { connect } from '../helpers/talk.ts';
import { rawUpstream } from '../helpers/upstream.ts';
import { makeWorld, type World } from '../helpers/world.ts';

describe('a client that speaks HTTP where TLS is due', () => {
  let world: World;
  let upstream: Awaited<ReturnType<typeof rawUpstream>>;
  let port = 0;

  beforeAll(async () => {
    upstream = await rawUpstream((socket) => socket.resume());
    ({ port } = upstream);
    const more = 'refuse: inside\n';
    world = await makeWorld({
      policies: {
        'agents.yaml': policy([
          intercepted(`read.test:${port}`),
          tunnelled(`api.test:${port}`, 'protocol: tls'),
        ]),
        'inside.yaml': policy(['deny: "*"'], { group: 'inside', sources: '127.0.0.2/32', more }),
      },
      hosts: { 'read.test': ['127.0.0.1'], 'api.test': ['127.0.0.1'] },
    });
  });
  afterAll(async () => {
    await world.stop();
    await upstream.close();
  });

  it.each(['read.test', 'api.test'])('reads why it is refused (%s)', async (host) => {
    const client = await connect(world.port, `${host}:${port}`);
    client.write(`GET /x HTTP/1.1\r\nHost: ${host}:${port}\r\n\r\n`);
    const answer = await client.reply();
    expect(answer.status).toBe(403);
    expect(answer.json()).toMatchObject({ reason: 'not_tls', host: `${host}:${port}` });
    expect(answer.json()['detail']).toContain('https://');
    await client.over();
    const end = await theRecord(world, { kind: 'end', host });
    expect(end).toMatchObject({ status: 200, ended: 'refused', reason: 'not_tls', bytes_up: 0 });
  });

  it('reads the refusal itself where it is told inside', async () => {
    const client = await connect(world.port, 'evil.test:443', { localAddress: '127.0.0.2' });
    client.write('GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n');
    const answer = await client.reply();
    expect(answer.json()).toMatchObject({ reason: 'host_not_allowed', group: 'inside' });
    await client.over();
  });

  it('gets no words in a protocol that is not HTTP', async () => {
    for (const host of ['read.test', 'api.test']) {
      const client = await connect(world.port, `${host}:${port}`);
      client.write('SSH-2.0-OpenSSH_9.2\r\n');
      const rest = await client.rest();
      expect(rest.toString()).not.toContain('HTTP/1.1');
    }
  });
});
