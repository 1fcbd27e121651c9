/**
 * A proxy with a metrics listener, and traffic that makes every kind of row: allowed and refused calls, tunnels,
 * keys put in and misused, a group on trial, a strange client. For the tests of rules and dashboards.
 */
import { createMetricsListener } from '../../src/admin/server.ts';
import { decide, held } from '../helpers/approvals.ts';
import { startDnsStub } from '../helpers/dns-stub.ts';
import { intercepted, placeholderIn, policy, profile, tunnelled } from '../helpers/scene.ts';
import { askOnce, connect, connectTls, type Talk, tryConnect } from '../helpers/talk.ts';
import { httpUpstream, rawUpstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, type World } from '../helpers/world.ts';

const REAL = 'sk-proj-0123456789abcdefghijklmnopqrstuvwxyzABCD';

export type DrivenProxy = {
  readonly world: World;
  /** where `/metrics` is, `127.0.0.1:PORT` */
  readonly target: string;
  /** One round of traffic: every kind of row grows. */
  drive(): Promise<void>;
  stop(): Promise<void>;
};

export async function drivenProxy(): Promise<DrivenProxy> {
  // It sends back what it got: a key that was put in is in the answer.
  const api = await httpUpstream({
    name: 'api.test',
    answer: (request, response) => {
      response.statusCode = request.url === '/missing' ? 404 : 200;
      response.setHeader('content-type', 'text/plain');
      response.end(`you are ${request.headers.authorization ?? 'nobody'}\n`);
    },
  });
  const raw = await rawUpstream((socket) => socket.pipe(socket));
  const dns = await startDnsStub({ 'raw.test': { a: ['127.0.0.1'], ttl: 1 } });
  const at = { api: `api.test:${api.port}`, raw: `raw.test:${raw.port}`, other: `other.test:${api.port}` };
  const rules = [intercepted(at.api), intercepted(at.other), tunnelled(at.raw, 'protocol: any')];
  const asking = `approve: "${at.api}", methods: [DELETE], wait: 10m, addresses: [127.0.0.0/8]`;
  const keys = 'profile: keys\n';
  const world = await makeWorld({
    policies: {
      'agents.yaml': policy([asking, ...rules], { sources: '127.0.0.1/32', more: keys }),
      'builders.yaml': policy(rules, { group: 'builders', sources: '127.0.0.2/32', more: keys }),
      'busy.yaml': policy(rules, {
        group: 'busy',
        sources: '127.0.0.4/32',
        more: 'limits: { requests: 1/h }\n',
      }),
      'trial.yaml': policy(rules, {
        group: 'trial',
        sources: '127.0.0.3/32',
        more: 'mode: monitor\nlimits: { requests: 1/h }\n',
      }),
      'profiles/keys.yaml': profile([
        { env: 'API_KEY', from: 'env:REAL', hosts: [at.api] },
        { env: 'GONE_KEY', from: 'env:GONE', hosts: [at.api] },
      ]),
    },
    hosts: { 'api.test': ['127.0.0.1'], 'other.test': ['127.0.0.1'] },
    dns: [dns.address],
    env: { REAL },
  });
  const { port } = world;
  const metrics = createMetricsListener({
    metrics: world.proxy.parts.metrics,
    listen: { host: '127.0.0.1', port: 0 },
  });
  const listening = await metrics.listen();
  const env = await askOnce(port, 'GET /env?format=json HTTP/1.1\r\nHost: sallyport\r\n\r\n');
  const mine = placeholderIn(env.json(), 'API_KEY');
  const opened: Talk[] = [];

  const inside = async (target: string, line: string, key: string) => {
    const client = await connectTls(port, target, { ca: world.caPem });
    await client.ask(`${line} HTTP/1.1\r\nHost: ${target}\r\nAuthorization: Bearer ${key}\r\n\r\n`);
    client.destroy();
  };
  const tried = async (target: string, localAddress: string): Promise<void> => {
    (await tryConnect(port, target, { localAddress })).client.destroy();
  };
  /** Asks for what a person has to allow; resolves once it is held. */
  const asked = async (path: string): Promise<{ client: Talk; id: string }> => {
    const client = await connectTls(port, at.api, { ca: world.caPem });
    client.write(`DELETE ${path} HTTP/1.1\r\nHost: ${at.api}\r\n\r\n`);
    const { id } = await eventually(() => held(world).find((one) => one.path === path), 20_000);
    return { client, id };
  };
  /** What an operator does is recorded as the admin side records it. */
  const people = async (): Promise<void> => {
    for (const [path, decision] of [
      ['/yes', 'allow'],
      ['/no', 'deny'],
    ] as const) {
      const { client, id } = await asked(path);
      await decide(world, id, { decision });
      await client.reply();
      client.destroy();
      world.proxy.parts.trail.operator({
        kind: 'operator',
        action: `approval.${decision}`,
        operator: 'alice',
        origin: 'api',
        client: '127.0.0.1',
        group: 'agents',
        subject: id,
        outcome: 'done',
        why: null,
        actedAt: Date.now(),
      });
    }
  };
  /** What the webhook, the admin side and the collector count; here there are none. */
  const around = (): void => {
    const { metrics: counted } = world.proxy.parts;
    counted.notice('sent');
    counted.stranger('token_invalid');
    for (const signal of ['traces', 'logs'] as const) counted.telemetry(signal, 'ok', 3);
  };
  const drive = async (): Promise<void> => {
    await inside(at.api, 'GET /', mine);
    await inside(at.api, 'GET /missing', mine);
    await inside(at.other, 'GET /', mine);
    await inside(at.other, 'GET /', REAL);
    for (const host of ['evil.test', 'exfil.test', 'evil.test']) await tried(`${host}:443`, '127.0.0.1');
    await tried('telemetry.test:443', '127.0.0.2');
    await tried(at.raw.replace(/\d+$/, '25'), '127.0.0.2');
    await tried(`127.0.0.1:${api.port}`, '127.0.0.3');
    await tried('strange.test:443', '127.0.0.9');
    // Beyond what their limits allow: the one is refused, the other is on trial.
    for (const from of ['127.0.0.4', '127.0.0.4', '127.0.0.3', '127.0.0.3']) await tried(at.raw, from);
    await people();
    around();
    const tunnel = await connect(port, at.raw, { localAddress: '127.0.0.2' });
    tunnel.write('ping');
    await tunnel.bytes(4);
    // A few stay open.
    if (opened.length === 0) opened.push((await asked('/waits')).client);
    if (opened.length < 5) opened.push(tunnel);
    else tunnel.destroy();
    const short = await connect(port, at.raw);
    short.destroy();
  };
  return {
    world,
    target: `127.0.0.1:${listening.port}`,
    drive,
    stop: async () => {
      for (const talk of opened) talk.destroy();
      await metrics.close();
      await world.stop();
      await api.close();
      await raw.close();
      await dns.close();
    },
  };
}
