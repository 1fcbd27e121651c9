/** I7: an exception in a stage is a refusal, never a pass; the other connections and the process go on. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { connectH2 } from '../helpers/h2.ts';
import { intercepted, policy, records, tunnelled } from '../helpers/scene.ts';
import { askOnce, connect, connectText, connectTls, open, tryConnect } from '../helpers/talk.ts';
import { httpUpstream, rawUpstream, type Upstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, type World } from '../helpers/world.ts';

const poison = (): never => {
  throw new Error('poisoned');
};

describe('I7: what is thrown is a refusal', () => {
  let world: World;
  let web: Upstream;
  let plain: Upstream;
  let raw: Awaited<ReturnType<typeof rawUpstream>>;
  let at = '';

  beforeAll(async () => {
    web = await httpUpstream({ name: 'web.test' });
    plain = await httpUpstream();
    raw = await rawUpstream((socket) => socket.pipe(socket));
    at = `web.test:${web.port}`;
  });
  beforeEach(async () => {
    world = await makeWorld({
      policies: {
        'agents.yaml': policy([
          intercepted(at),
          intercepted(`plain.test:${plain.port}`),
          tunnelled(`raw.test:${raw.port}`, 'protocol: any'),
        ]),
      },
      hosts: { 'web.test': ['127.0.0.1'], 'raw.test': ['127.0.0.1'], 'plain.test': ['127.0.0.1'] },
    });
  });
  afterEach(async () => {
    vi.restoreAllMocks();
    await world.stop();
  });
  afterAll(async () => {
    await web.close();
    await plain.close();
    await raw.close();
  });

  /** A connection opened before, and one opened after, are untouched by what happens in between. */
  const othersLive = async (between: () => Promise<void>): Promise<void> => {
    const other = await connect(world.port, `raw.test:${raw.port}`);
    const seen = web.seen.length + plain.seen.length;
    const dialled = raw.connections();
    await between();
    expect(web.seen.length + plain.seen.length).toBe(seen);
    expect(raw.connections()).toBe(dialled);
    vi.restoreAllMocks();
    other.write('still here');
    expect((await other.bytes(10)).toString()).toBe('still here');
    other.destroy();
    const again = await connectTls(world.port, at, { ca: world.caPem });
    expect((await again.ask(`GET /again HTTP/1.1\r\nHost: ${at}\r\n\r\n`)).status).toBe(200);
    again.destroy();
  };

  /** A connection that gets no success: refused or broken off. */
  const notLetIn = async (text: string): Promise<void> => {
    const client = await open(world.port);
    client.write(text);
    const answer = (await client.rest()).toString('latin1');
    expect(answer).not.toMatch(/^HTTP\/1\.1 2/);
    client.destroy();
  };
  const plainGet = () =>
    `GET http://plain.test:${plain.port}/ HTTP/1.1\r\nHost: plain.test:${plain.port}\r\nConnection: close\r\n\r\n`;

  it('in the identifier', () =>
    othersLive(async () => {
      vi.spyOn(world.proxy.parts.tokens, 'verify').mockImplementation(poison);
      const auth = 'Proxy-Authorization: Bearer sp_tok_0_0\r\n';
      await notLetIn(connectText(at, auth));
      await notLetIn(plainGet().replace('Connection', `${auth}Connection`));
    }));

  it('in the gate, for a CONNECT', () =>
    othersLive(async () => {
      vi.spyOn(world.proxy.parts.gate, 'connect').mockImplementation(poison);
      await notLetIn(connectText(at));
      await notLetIn(connectText(`raw.test:${raw.port}`));
    }));

  it('in the gate, for a request: a plain one and an intercepted one', () =>
    othersLive(async () => {
      const inside = await connectTls(world.port, at, { ca: world.caPem });
      vi.spyOn(world.proxy.parts.gate, 'request').mockImplementation(poison);
      await notLetIn(plainGet());
      inside.write(`GET / HTTP/1.1\r\nHost: ${at}\r\n\r\n`);
      expect((await inside.rest()).toString()).not.toMatch(/^HTTP\/1\.1 2/);
      inside.destroy();
    }));

  it('in the gate, the bindings or the pool, for a stream of HTTP/2: the connection serves its other streams', () =>
    othersLive(async () => {
      const client = await connectH2(world.port, at, { ca: world.caPem });
      const { gate, bindings, pool } = world.proxy.parts;
      const breaks = [
        () => vi.spyOn(gate, 'request').mockImplementation(poison),
        () => vi.spyOn(bindings, 'forIdentity').mockImplementation(poison),
        () => vi.spyOn(pool, 'take').mockImplementation(poison),
      ];
      for (const broken of breaks) {
        broken();
        const { status } = await client.ask('GET /');
        expect([0, 502, 503]).toContain(status);
        vi.restoreAllMocks();
      }
      expect((await client.ask('GET /nowhere', { ':authority': 'other.test' })).status).toBe(421);
      client.close();
      const ends = await eventually(async () => {
        const found = await records(world, { kind: 'end', stage: 'request' });
        return found.length === breaks.length + 1 && found;
      });
      expect(ends.map(({ status }) => status)).not.toContain(200);
    }));

  it('in the label look-up, after the address check', () =>
    othersLive(async () => {
      vi.spyOn(world.proxy.parts.gate, 'label').mockImplementation(poison);
      const { answer } = await tryConnect(world.port, `raw.test:${raw.port}`);
      expect(answer.status).toBe(502);
      await notLetIn(plainGet());
    }));

  it('in the resolver', () =>
    othersLive(async () => {
      vi.spyOn(world.proxy.parts.resolver, 'resolve').mockRejectedValue(new Error('poisoned'));
      const peek = vi.spyOn(world.proxy.parts.resolver, 'peek').mockReturnValue(null);
      const { answer } = await tryConnect(world.port, `raw.test:${raw.port}`);
      expect(answer.status).toBe(502);
      expect((await askOnce(world.port, plainGet())).status).toBe(502);
      peek.mockImplementation(poison);
      await notLetIn(connectText(`raw.test:${raw.port}`));
    }));

  it('in the check that the identity still holds', () =>
    othersLive(async () => {
      vi.spyOn(world.proxy.parts.identifier, 'stillValid').mockImplementation(poison);
      await notLetIn(connectText(`raw.test:${raw.port}`));
      await notLetIn(connectText(at));
      await notLetIn(plainGet());
    }));

  it('in the pool', () =>
    othersLive(async () => {
      vi.spyOn(world.proxy.parts.pool, 'open').mockRejectedValue(new Error('poisoned'));
      expect((await askOnce(world.port, plainGet())).json()).toMatchObject({ reason: 'connect_failed' });
      vi.spyOn(world.proxy.parts.pool, 'take').mockImplementation(poison);
      await notLetIn(plainGet());
    }));

  it('in the keys', () =>
    othersLive(async () => {
      vi.spyOn(world.proxy.parts.bindings, 'forIdentity').mockImplementation(poison);
      await notLetIn(plainGet());
      await notLetIn('GET /env HTTP/1.1\r\nHost: sallyport\r\n\r\n');
    }));

  it('in the audit trail, for a refusal as well', () =>
    othersLive(async () => {
      vi.spyOn(world.proxy.parts.trail, 'decision').mockImplementation(poison);
      await notLetIn(connectText('no.test:443'));
      await notLetIn('GET http://no.test/ HTTP/1.1\r\nHost: no.test\r\n\r\n');
      await notLetIn(connectText(`raw.test:${raw.port}`));
      await notLetIn(plainGet());
    }));

  it('leaves an end record for what was thrown after the record was opened', async () => {
    vi.spyOn(world.proxy.parts.gate, 'request').mockImplementation(poison);
    await notLetIn(plainGet());
    await eventually(async () => (await records(world, { kind: 'end', host: 'plain.test' })).length === 1);
    expect(await records(world, { kind: 'decision', verdict: 'allow' })).toEqual([]);
    expect(world.log()).toContain('poisoned');
  });
});
