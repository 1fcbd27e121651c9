/** A real gRPC client and server through interception: every kind of call, error status, deadline, key swap. */
import grpc from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { placeholderIn, policy, profile, theRecord } from '../helpers/scene.ts';
import { askOnce } from '../helpers/talk.ts';
import { makeWorld, upstreamPair, type World } from '../helpers/world.ts';

const REAL = 'sk-proj-0123456789abcdefghijklmnopqrstuvwxyzABCD';
const asIs = { serialize: (bytes: Buffer) => bytes, deserialize: (bytes: Buffer) => bytes };
const method = (name: string, requestStream: boolean, responseStream: boolean) => ({
  path: `/test.Echo/${name}`,
  requestStream,
  responseStream,
  requestSerialize: asIs.serialize,
  requestDeserialize: asIs.deserialize,
  responseSerialize: asIs.serialize,
  responseDeserialize: asIs.deserialize,
});
const service = {
  unary: method('Unary', false, false),
  fails: method('Fails', false, false),
  list: method('List', false, true),
  chat: method('Chat', true, true),
};

describe('gRPC through interception', () => {
  let server: grpc.Server;
  let world: World;
  let client: grpc.Client;
  let placeholder = '';
  let key = '';

  beforeAll(async () => {
    server = new grpc.Server();
    server.addService(service, {
      unary: (call: grpc.ServerUnaryCall<Buffer, Buffer>, done: grpc.sendUnaryData<Buffer>) => {
        key = String(call.metadata.get('authorization')[0]);
        const trailer = new grpc.Metadata();
        trailer.set('x-trailer', 'kept');
        done(null, Buffer.from(`echo ${call.request.toString()}`), trailer);
      },
      fails: (_call: grpc.ServerUnaryCall<Buffer, Buffer>, done: grpc.sendUnaryData<Buffer>) => {
        done({ code: grpc.status.NOT_FOUND, details: 'no such thing' });
      },
      list: (call: grpc.ServerWritableStream<Buffer, Buffer>) => {
        for (let n = 0; n < 100; n += 1) call.write(Buffer.from(`item ${n}`));
        call.end();
      },
      chat: (call: grpc.ServerDuplexStream<Buffer, Buffer>) => {
        call.on('data', (bytes: Buffer) => call.write(Buffer.from(`re ${bytes.toString()}`)));
        call.on('end', () => call.end());
      },
    });
    const { cert, key: privateKey } = upstreamPair('grpc.test');
    const pair = { cert_chain: Buffer.from(cert), private_key: Buffer.from(privateKey) };
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createSsl(null, [pair]), (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    });
    const at = `grpc.test:${await promise}`;
    world = await makeWorld({
      policies: {
        'agents.yaml': policy([`allow: "${at}", paths: [/test.Echo/**], addresses: [127.0.0.0/8]`], {
          more: 'profile: keys\n',
        }),
        'profiles/keys.yaml': profile([{ env: 'API_KEY', from: 'env:REAL', hosts: [at] }]),
      },
      hosts: { 'grpc.test': ['127.0.0.1'] },
      env: { REAL },
    });
    const env = await askOnce(world.port, 'GET /env?format=json HTTP/1.1\r\nHost: sallyport\r\n\r\n');
    placeholder = placeholderIn(env.json(), 'API_KEY');
    process.env['grpc_proxy'] = `http://127.0.0.1:${world.port}`;
    client = new grpc.Client(at, grpc.credentials.createSsl(Buffer.from(world.caPem)));
  });
  afterAll(async () => {
    delete process.env['grpc_proxy'];
    client.close();
    server.forceShutdown();
    await world.stop();
  });

  const unary = async (name: keyof typeof service, text: string, metadata = new grpc.Metadata()) => {
    const { promise, resolve } = Promise.withResolvers<{ error: grpc.ServiceError | null; text: string }>();
    let trailer: grpc.Metadata | undefined;
    const { path, requestSerialize, responseDeserialize } = service[name];
    const call = client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      Buffer.from(text),
      metadata,
      (error, value) => resolve({ error, text: value?.toString() ?? '' }),
    );
    call.on('status', (status) => {
      trailer = status.metadata;
    });
    const result = await promise;
    return { ...result, trailer };
  };

  it('a unary call is answered with its trailers, and its placeholder arrives as the key', async () => {
    const metadata = new grpc.Metadata();
    metadata.set('authorization', `Bearer ${placeholder}`);
    const { error, text, trailer } = await unary('unary', 'hello', metadata);
    expect([error, text, trailer?.get('x-trailer')]).toEqual([null, 'echo hello', ['kept']]);
    expect(key).toBe(`Bearer ${REAL}`);
    expect(await theRecord(world, { kind: 'end', path: '/test.Echo/Unary' })).toMatchObject({
      ended: 'done',
      keys: ['API_KEY'],
    });
  });

  it('an error status comes as it was', async () => {
    const { error } = await unary('fails', 'x');
    expect([error?.code, error?.details]).toEqual([grpc.status.NOT_FOUND, 'no such thing']);
  });

  it('a server stream comes whole', async () => {
    const { path, requestSerialize, responseDeserialize } = service.list;
    const call = client.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      Buffer.from('x'),
    );
    const items: string[] = [];
    for await (const item of call) items.push(String(item));
    expect([items.length, items.at(-1)]).toEqual([100, 'item 99']);
  });

  it('a bidirectional stream answers before it ends', async () => {
    const { path, requestSerialize, responseDeserialize } = service.chat;
    const call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
    const answers = call[Symbol.asyncIterator]();
    for (const word of ['one', 'two']) {
      call.write(Buffer.from(word));
      expect(String((await answers.next()).value)).toBe(`re ${word}`);
    }
    call.end();
    expect((await answers.next()).done).toBe(true);
  });

  it('a refused call fails with the status of its refusal, and nothing arrives', async () => {
    const metadata = new grpc.Metadata();
    metadata.set('authorization', `Bearer ${REAL}`);
    key = '';
    const { error } = await unary('unary', 'leak', metadata);
    expect(error?.code).toBe(grpc.status.PERMISSION_DENIED);
    expect(key).toBe('');
  });
});
