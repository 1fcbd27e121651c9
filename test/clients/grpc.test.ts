/**
 * grpc-js with nothing but what `/env` prints (`grpc_proxy`): a call with its
 * trailer and a stream both ways, through a tunnel and through interception with a key, and a refusal.
 */
import tls from 'node:tls';
import { Metadata, Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { intercepted, policy, profile, tunnelled } from '../helpers/scene.ts';
import { listenOn } from '../helpers/upstream.ts';
import { makeWorld, upstreamAuthority, upstreamContext, type World } from '../helpers/world.ts';
import { describeClient, programFile } from './client.ts';
import { makeSandbox, type Ran, type Sandbox } from './sandbox.ts';

const REAL = 'sk-proj-0123456789abcdefghijklmnopqrstuvwxyz';
const PATHS = { requestStream: false, responseStream: false } as const;
const bytes = (value: Buffer): Buffer => value;
const MESSAGES = {
  requestSerialize: bytes,
  requestDeserialize: bytes,
  responseSerialize: bytes,
  responseDeserialize: bytes,
};

/** An echo service on a TLS port; `seen`: the authorization of each call. */
async function grpcUpstream(name: string, seen: string[]): Promise<{ front: tls.Server; port: number }> {
  const server = new Server();
  const service = {
    say: { path: '/echo.Echo/Say', ...PATHS, ...MESSAGES },
    talk: { path: '/echo.Echo/Talk', requestStream: true, responseStream: true, ...MESSAGES },
  };
  server.addService(service, {
    say: (
      call: { request: Buffer; metadata: Metadata },
      done: (error: null, value: Buffer, trailer: Metadata) => void,
    ) => {
      seen.push(call.metadata.get('authorization').join());
      const trailer = new Metadata();
      trailer.set('x-trailer', 'after');
      done(null, Buffer.from(`echo ${call.request.toString()}`), trailer);
    },
    talk: (call: ServerDuplexStream<Buffer, Buffer>) => {
      call.on('data', (word: Buffer) => call.write(Buffer.from(`echo ${word.toString()}`)));
      call.on('end', () => call.end());
    },
  });
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  const context = upstreamContext(name);
  const front = tls.createServer(
    { SNICallback: (_name, done) => done(null, context), ALPNProtocols: ['h2'] },
    (socket) => injector.injectConnection(socket),
  );
  front.on('close', () => server.forceShutdown());
  return { front, port: await listenOn(front) };
}

const VERSION = `node -p 'require("${process.cwd()}/node_modules/@grpc/grpc-js/package.json").version'`;

describeClient({ name: 'grpc-js', version: VERSION }, 'grpc-js', () => {
  let world: World;
  const fronts: tls.Server[] = [];
  const seen: string[] = [];
  let sandbox: Sandbox;
  let raw = '';
  let api = '';

  beforeAll(async () => {
    const [opaque, swapped] = [await grpcUpstream('raw.test', []), await grpcUpstream('api.test', seen)];
    fronts.push(opaque.front, swapped.front);
    raw = `raw.test:${opaque.port}`;
    api = `api.test:${swapped.port}`;
    world = await makeWorld({
      policies: {
        'agents.yaml': policy([tunnelled(raw), intercepted(api)], { more: 'profile: keys\n' }),
        'profiles/keys.yaml': profile([{ env: 'API_KEY', from: 'env:REAL', hosts: [api] }]),
      },
      hosts: { 'raw.test': ['127.0.0.1'], 'api.test': ['127.0.0.1'] },
      env: { REAL },
    });
    sandbox = await makeSandbox(world, { roots: [upstreamAuthority().certPem] });
  });
  afterAll(async () => {
    await world.stop();
    for (const front of fronts) front.close();
  });

  const shown = ({ status, stdout, stderr }: Ran): string => `${status}\n${stdout}\n${stderr}`;
  const ask = (at: string): string => `node ${programFile('grpc-client.ts')} ${at}`;

  const TALK = ['echo hello', 'status 0 after', 'echo one', 'echo two', 'echo three', ''];

  it('calls and streams through a tunnel', async () => {
    const ran = await sandbox.run(ask(raw));
    expect(ran.status, shown(ran)).toBe(0);
    expect(ran.stdout.split('\n')).toEqual(TALK);
  });

  it('calls and streams through interception, and its placeholder arrives as the real key', async () => {
    const ran = await sandbox.run(ask(api));
    expect(ran.status, shown(ran)).toBe(0);
    expect(ran.stdout.split('\n')).toEqual(TALK);
    expect(seen).toEqual([`Bearer ${REAL}`]);
  });

  it('is told that another host is refused', async () => {
    const ran = await sandbox.run(ask('evil.test:443'));
    expect(ran.status, shown(ran)).toBe(1);
    expect(ran.stderr).toMatch(/to evil\.test:443 through proxy \S+ with status 403/);
  });
});
