/** Everything goes through the operator's own proxy, which is handed the judged address and nothing to resolve. */
import { afterEach, describe, expect, it } from 'vitest';
import { httpParent, type ParentProxy, socksParent } from '../helpers/parents.ts';
import { describeWith } from '../helpers/programs.ts';
import { intercepted, placeholderIn, policy, profile, theRecord, tunnelled } from '../helpers/scene.ts';
import { askOnce, connect, connectText, connectTls, open as dial, tryConnect } from '../helpers/talk.ts';
import { httpUpstream, rawUpstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, type World } from '../helpers/world.ts';

const REAL = 'sk-proj-0123456789abcdefghijklmnopqrstuvwxyz';
const open: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

function kept<T extends { close(): Promise<void> }>(made: T): T {
  open.push(() => made.close());
  return made;
}

/** A world whose egress goes through `url`, with three upstreams behind it. */
async function behind(url: string): Promise<{ world: World; api: string; raw: string; plain: string }> {
  const web = kept(await httpUpstream({ name: 'api.test' }));
  const clear = kept(await httpUpstream());
  const spoken = kept(
    await rawUpstream((socket) => {
      socket.write('220 ready\r\n');
      socket.on('data', (bytes: Buffer) => socket.write(bytes));
    }),
  );
  const api = `api.test:${web.port}`;
  const raw = `raw.test:${spoken.port}`;
  const plain = `plain.test:${clear.port}`;
  const world = await makeWorld({
    policies: {
      'agents.yaml': policy([intercepted(api), tunnelled(raw, 'protocol: any'), intercepted(plain)], {
        more: 'profile: keys\n',
      }),
      'profiles/keys.yaml': profile([{ env: 'API_KEY', from: 'env:REAL', hosts: [api] }]),
    },
    hosts: { 'api.test': ['127.0.0.1'], 'raw.test': ['127.0.0.1'], 'plain.test': ['127.0.0.1'] },
    settings: `parent_proxy: "${url}"\n`,
    env: { REAL },
  });
  open.push(() => world.stop());
  return { world, api, raw, plain };
}

async function usesAll({ world, api, raw, plain }: Awaited<ReturnType<typeof behind>>): Promise<void> {
  const env = await askOnce(world.port, 'GET /env?format=json HTTP/1.1\r\nHost: sallyport\r\n\r\n');
  const key = placeholderIn(env.json(), 'API_KEY');
  const client = await connectTls(world.port, api, { ca: world.caPem });
  const answer = await client.ask(`GET /x HTTP/1.1\r\nHost: ${api}\r\nAuthorization: Bearer ${key}\r\n\r\n`);
  expect(answer.status).toBe(200);
  expect(answer.body.toString()).toBe('GET /x 0');
  client.destroy();

  const tunnel = await connect(world.port, raw);
  expect((await tunnel.bytes(11)).toString()).toBe('220 ready\r\n');
  tunnel.write('hello');
  expect((await tunnel.bytes(5)).toString()).toBe('hello');
  tunnel.destroy();

  const clear = await askOnce(world.port, `GET http://${plain}/y HTTP/1.1\r\nHost: ${plain}\r\n\r\n`);
  expect(clear.body.toString()).toBe('GET /y 0');
}

describe.each([
  ['http', false],
  ['https', true],
])('an %s parent', (_scheme, tls) => {
  it('carries tunnels, intercepted and plain requests, and is told addresses only', async () => {
    const parent = kept(await httpParent({ tls }));
    const made = await behind(parent.url);
    await usesAll(made);
    const ports = [made.api, made.raw, made.plain].map((at) => at.split(':')[1]);
    expect(parent.asked).toEqual(ports.map((port) => `127.0.0.1:${port}`));
  });
});

describeWith(['microsocks'], 'a socks5 parent', () => {
  it('carries tunnels, intercepted and plain requests', async () => {
    const parent = kept(await socksParent());
    await usesAll(await behind(parent.url));
  });
});

describe('a parent that does not let through', () => {
  const refusedBy = async (url: string): Promise<{ text: string; reason: unknown }> => {
    const { world, raw } = await behind(url);
    const { answer } = await tryConnect(world.port, raw);
    expect(answer.status).toBe(502);
    expect(world.log()).toContain('The parent proxy');
    expect(world.log()).not.toContain('else@');
    const record = await theRecord(world, { kind: 'end' });
    return { text: answer.body.toString(), reason: record['reason'] };
  };

  it('with wrong credentials is told as such', async () => {
    const parent = kept(await httpParent());
    const wrong = parent.url.replace(/\/\/.*@/, '//somebody:else@');
    const { text, reason } = await refusedBy(wrong);
    expect(text).toContain('did not accept its credentials');
    expect(text).not.toContain('127.0.0.1');
    expect(reason).toBe('connect_failed');
  });

  it('by its own rules is told with its status', async () => {
    const parent = kept(await httpParent({ refuseWith: 403 }));
    expect((await refusedBy(parent.url)).text).toContain('The parent proxy answered 403.');
  });

  it('because it is down is told as such, and nothing is dialled past it', async () => {
    const parent: ParentProxy = await httpParent();
    await parent.close();
    expect((await refusedBy(parent.url)).text).toContain('The parent proxy refused the connection.');
  });
});

describe('the loopback end of the hop', () => {
  it('serves nobody who does not know its password, and no sandbox may name it', async () => {
    const parent = kept(await httpParent());
    const { world, plain } = await behind(parent.url);
    const [hop] = world.proxy.parts.state.others;
    if (hop === undefined) throw new Error('no hop');
    const stranger = await tryConnect(hop.port, plain);
    expect(stranger.answer.status).toBe(403);
    const absolute = await askOnce(hop.port, `GET http://${plain}/ HTTP/1.1\r\nHost: ${plain}\r\n\r\n`);
    expect(absolute.status).toBe(403);
    world.setPolicy('agents.yaml', policy([tunnelled(`127.0.0.1:${hop.port}`, 'protocol: any')]));
    const { answer } = await tryConnect(world.port, `127.0.0.1:${hop.port}`);
    expect(answer.json()['reason']).toBe('address_not_allowed');
    expect(parent.asked).toEqual([]);
  });

  it('keeps nothing of clients that leave while the parent connects', async () => {
    let gone = 0;
    const silent = kept(
      await rawUpstream((socket) => {
        socket.on('data', () => {});
        socket.on('close', () => {
          gone += 1;
        });
        socket.on('end', () => socket.end());
      }),
    );
    const { world, raw } = await behind(`http://127.0.0.1:${silent.port}`);
    const client = await dial(world.port);
    client.write(connectText(raw));
    await eventually(() => silent.connections() === 1);
    client.reset();
    await eventually(() => gone === 1);
    expect((await theRecord(world, { kind: 'end' }))['ended']).toBe('client_abort');
  });
});
