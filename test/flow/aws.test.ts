/** AWS requests signed with placeholders arrive signed with the real key set, and are let in by who holds that one. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { spaced } from '../helpers/aws-double.ts';
import { type AwsAsk, type AwsWorld, awsWorld, REAL_SESSION, REAL_SET } from '../helpers/aws-world.ts';
import { connectH2 } from '../helpers/h2.ts';
import { metric } from '../helpers/scene.ts';
import {
  amzDate,
  authorization,
  type Credentials,
  hex,
  presign,
  type SignAsk,
  signatureOf,
  signedChunks,
} from '../helpers/sigv4.ts';
import { eventually } from '../helpers/world.ts';

describe('a request signed with a placeholder set', () => {
  let scene: AwsWorld;
  beforeAll(async () => {
    scene = await awsWorld();
  });
  afterAll(() => scene.stop());

  /** Sends, and fails where the holder of the real set would not let it in. */
  const pass = async (ask: AwsAsk) => {
    const reply = await scene.send(ask);
    const judge = ask.to === scene.at.session ? scene.session : scene.plain;
    expect([judge.problem(), reply.status]).toEqual([null, ask.headers?.['range'] === undefined ? 200 : 206]);
    return reply;
  };

  it('has placeholders that look like AWS’s own', () => {
    expect(scene.own.id).toMatch(/^AKIA[A-Z2-7]{16}$/);
    expect(scene.own.secret).toMatch(/^[A-Za-z0-9]{40}$/);
    expect(scene.ownSession.id).toMatch(/^ASIA[A-Z2-7]{16}$/);
    expect(scene.ownSession.token).toMatch(/^IQoJb3JpZ2luX2Vj[A-Za-z0-9]{240}$/);
  });

  it.each([
    '/bucket/a%20b/%C3%BC(1).txt',
    '/bucket//double/../dots/./x',
    '/bucket/~tilde+plus=equals@at',
    "/bucket/with'quote*star!",
  ])('puts and gets %s, whose bytes arrive as they were sent', async (url) => {
    await pass({ method: 'PUT', url, body: `content of ${url}` });
    expect(scene.plain.seen.at(-1)).toMatchObject({ url, method: 'PUT' });
    expect(scene.plain.seen.at(-1)?.headers.authorization).toContain(`Credential=${REAL_SET.id}/`);
    expect((await pass({ url })).body.toString()).toBe(`content of ${url}`);
    await pass({ method: 'HEAD', url });
  });

  it('lists, with a query in any order and encoding', async () => {
    await pass({ url: '/bucket?prefix=a%2Fb%2B&list-type=2&delimiter=%2F&fetch-owner' });
    await pass({ url: '/bucket?list-type=2&prefix=b&prefix=a&marker=%C3%BC%20x' });
    expect(scene.plain.seen.at(-1)?.url).toBe('/bucket?list-type=2&prefix=b&prefix=a&marker=%C3%BC%20x');
  });

  it('gets a part of an object: what was asked for, to the byte', async () => {
    const body = Buffer.from(`0123456789${REAL_SET.id}`);
    await pass({ method: 'PUT', url: '/bucket/ranged', body: 'x' });
    scene.plain.objects.set('/bucket/ranged', body);
    const part = await pass({ url: '/bucket/ranged', headers: { range: 'bytes=2-5' } });
    expect(part.body.toString()).toBe('2345');
    const whole = await pass({ url: '/bucket/ranged' });
    expect(whole.body).toEqual(body);
    expect(whole.field('content-length')).toBe(String(body.length));
  });

  it('uploads in parts', async () => {
    await pass({ method: 'POST', url: '/bucket/big?uploads=' });
    await pass({
      method: 'PUT',
      url: '/bucket/big?partNumber=1&uploadId=up1',
      body: Buffer.alloc(300_000, 'a'),
    });
    await pass({
      method: 'PUT',
      url: '/bucket/big?partNumber=2&uploadId=up1',
      body: Buffer.alloc(70_000, 'b'),
    });
    await pass({ method: 'POST', url: '/bucket/big?uploadId=up1', body: '<CompleteMultipartUpload/>' });
    expect(scene.plain.objects.get('/bucket/big')?.length).toBe(370_000);
  });

  it('streams a body of which the head says the hash, without holding it', async () => {
    const body = Buffer.alloc(12 * 1024 * 1024, 'abcdefghij');
    await pass({ method: 'PUT', url: '/bucket/stream', body });
    expect(scene.plain.objects.get('/bucket/stream')?.equals(body)).toBe(true);
    await pass({ method: 'PUT', url: '/bucket/unsigned', body, payload: 'UNSIGNED-PAYLOAD' });
    expect(scene.plain.objects.get('/bucket/unsigned')?.equals(body)).toBe(true);
  });

  const chunked = async (
    payload: string,
    trailer: string | null,
    chunks: readonly Buffer[],
  ): Promise<void> => {
    const at = amzDate();
    const base: SignAsk = {
      ...scene.own,
      method: 'PUT',
      url: '/bucket/chunked',
      headers: {},
      region: 'eu-central-1',
      service: 's3',
      at,
      payload,
    };
    const length = signedChunks(base, '', chunks, trailer).length;
    const headers = {
      host: scene.at.plain,
      'content-encoding': 'aws-chunked',
      'content-length': String(length),
      'x-amz-content-sha256': payload,
      'x-amz-date': at,
      'x-amz-decoded-content-length': String(chunks.reduce((sum, one) => sum + one.length, 0)),
      ...(trailer === null ? {} : { 'x-amz-trailer': 'x-amz-checksum-crc32c' }),
    };
    const ask = { ...base, headers };
    const body = signedChunks(ask, signatureOf(ask), chunks, trailer);
    const lines = Object.entries({ ...headers, authorization: authorization(ask) }).map(
      ([name, value]) => `${name}: ${value}\r\n`,
    );
    const client = await scene.connect();
    client.write(Buffer.concat([Buffer.from(`PUT ${ask.url} HTTP/1.1\r\n${lines.join('')}\r\n`), body]));
    const reply = await client.reply();
    client.destroy();
    expect([scene.plain.problem(), reply.status]).toEqual([null, 200]);
    expect(scene.plain.seen.at(-1)?.headers['content-length']).toBe(String(length));
    expect(scene.plain.objects.get('/bucket/chunked')?.equals(Buffer.concat([...chunks]))).toBe(true);
  };

  it('uploads in signed chunks, every one signed again', async () => {
    const chunks = [Buffer.alloc(65_536, 'a'), Buffer.alloc(65_536, 'b'), Buffer.alloc(7, 'c')];
    await chunked('STREAMING-AWS4-HMAC-SHA256-PAYLOAD', null, chunks);
    await chunked('STREAMING-AWS4-HMAC-SHA256-PAYLOAD', null, [Buffer.alloc(3_000_000, 'd')]);
    await chunked('STREAMING-AWS4-HMAC-SHA256-PAYLOAD', null, []);
    await chunked('STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER', 'x-amz-checksum-crc32c:sOO8/Q==', chunks);
  });

  it('uploads in chunks with an unsigned trailer, as SDKs do by default', async () => {
    const body = 'b\r\nhello world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n';
    await pass({
      method: 'PUT',
      url: '/bucket/trailer',
      body,
      payload: 'STREAMING-UNSIGNED-PAYLOAD-TRAILER',
      headers: {
        'content-encoding': 'aws-chunked',
        'x-amz-decoded-content-length': '11',
        'x-amz-trailer': 'x-amz-checksum-crc32',
      },
    });
    expect(scene.plain.objects.get('/bucket/trailer')?.toString()).toBe('hello world');
  });

  it('calls DynamoDB, whose signature covers a hash that no field says', async () => {
    const headers = {
      'x-amz-target': 'DynamoDB_20120810.ListTables',
      'content-type': 'application/x-amz-json-1.0',
    };
    const reply = await pass({ method: 'POST', service: 'dynamodb', body: '{"Limit":1}', headers });
    expect(reply.json()['Echo']).toBe('{"Limit":1}');
    const large = JSON.stringify({ Item: 'x'.repeat(1_000_000) });
    await pass({ method: 'POST', service: 'dynamodb', body: large, headers });
    await pass({ method: 'POST', service: 'dynamodb', body: '{}', payload: hex('{}'), headers });
  });

  it('asks STS who it is, with a session, by form and by query', async () => {
    const to = scene.at.session;
    const form = { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8' };
    const body = 'Action=GetCallerIdentity&Version=2011-06-15';
    const reply = await pass({ to, method: 'POST', service: 'sts', body, headers: form });
    expect(reply.body.toString()).toContain('<Account>1</Account>');
    expect(scene.session.seen.at(-1)?.headers['x-amz-security-token']).toBe(REAL_SESSION.token);
    await pass({ to, service: 'sts', url: `/?${body}` });
    await pass({ to, method: 'POST', service: 'sts', body, headers: form, payload: hex(body) });
  });

  it('gets the session token put in where the sandbox left it out', async () => {
    const { id, secret } = scene.ownSession;
    await pass({ to: scene.at.session, url: '/bucket?list-type=2', by: { id, secret } });
  });

  const presigned = (by: Credentials, url: string, of: Partial<SignAsk> = {}): string => {
    const to = by.token === undefined ? scene.at.plain : scene.at.session;
    const base = {
      region: 'us-east-1',
      service: 's3',
      at: amzDate(),
      payload: 'UNSIGNED-PAYLOAD',
      method: 'GET',
    };
    return presign({ ...by, ...base, url, headers: { host: to }, ...of }, 900);
  };

  it('may be a presigned URL: GET, PUT, of a session, and of another service', async () => {
    const client = await scene.connect();
    scene.plain.objects.set('/bucket/pre', Buffer.from('signed'));
    const get = presigned(scene.own, '/bucket/pre?response-content-type=text%2Fplain');
    const got = await client.ask(`GET ${get} HTTP/1.1\r\nHost: ${scene.at.plain}\r\n\r\n`);
    expect([scene.plain.problem(), got.body.toString()]).toEqual([null, 'signed']);
    const { url } = scene.plain.seen.at(-1) ?? { url: '' };
    expect(new URLSearchParams(url.split('?')[1]).get('X-Amz-Expires')).toBe('900');
    const put = presigned(scene.own, '/bucket/pre2', { method: 'PUT' });
    await client.ask(`PUT ${put} HTTP/1.1\r\nHost: ${scene.at.plain}\r\nContent-Length: 4\r\n\r\nbody`);
    expect([scene.plain.problem(), scene.plain.objects.get('/bucket/pre2')?.toString()]).toEqual([
      null,
      'body',
    ]);
    client.destroy();
    const other = await scene.connect(scene.at.session);
    const query = '/?Action=GetCallerIdentity&Version=2011-06-15';
    const sts = presigned(scene.ownSession, query, { service: 'sts', payload: hex('') });
    const reply = await other.ask(`GET ${sts} HTTP/1.1\r\nHost: ${scene.at.session}\r\n\r\n`);
    expect([scene.session.problem(), reply.status]).toEqual([null, 200]);
    other.destroy();
  });

  it('serves many requests on one connection, and unsigned ones beside them', async () => {
    const client = await scene.connect();
    for (let n = 0; n < 3; n += 1) {
      const get = presigned(scene.own, '/bucket/pre');
      expect((await client.ask(`GET ${get} HTTP/1.1\r\nHost: ${scene.at.plain}\r\n\r\n`)).status).toBe(200);
    }
    const unsigned = await client.ask(`GET /bucket/pre HTTP/1.1\r\nHost: ${scene.at.plain}\r\n\r\n`);
    expect([scene.plain.problem(), unsigned.status]).toEqual(['not signed', 403]);
    client.destroy();
  });

  it('waits for a body that the client sends after a 100 only', async () => {
    const body = '{"a":1}';
    const headers = {
      host: scene.at.plain,
      'x-amz-date': amzDate(),
      'x-amz-target': 'DynamoDB_20120810.PutItem',
      'content-length': String(body.length),
    };
    const ask = { ...scene.own, method: 'POST', url: '/', headers, region: 'us-east-1', service: 'dynamodb' };
    const auth = authorization({ ...ask, at: headers['x-amz-date'], payload: hex(body) });
    const lines = Object.entries({ ...headers, authorization: auth, expect: '100-continue' });
    const client = await scene.connect();
    client.write(`POST / HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`);
    expect((await client.head()).status).toBe(100);
    client.write(body);
    let reply = await client.head();
    if (reply.status === 100) reply = await client.head();
    expect([scene.plain.problem(), reply.status]).toEqual([null, 200]);
    client.destroy();
  });

  it('is signed again over HTTP/2 as well', async () => {
    const client = await connectH2(scene.world.port, scene.at.plain, { ca: scene.world.caPem });
    const url = presigned(scene.own, '/bucket/pre');
    const reply = await client.ask(`GET ${url}`);
    expect([scene.plain.problem(), reply.status]).toEqual([null, 200]);
    const body = Buffer.alloc(700_000, 'h2');
    const at = amzDate();
    for (const [service, headers] of [
      ['s3', { 'x-amz-content-sha256': hex(body), 'x-amz-date': at }],
      ['dynamodb', { 'x-amz-date': at, 'x-amz-target': 'DynamoDB_20120810.ListTables' }],
    ] as const) {
      const signed = { host: scene.at.plain, ...headers };
      const of = {
        ...scene.own,
        method: 'PUT',
        url: '/bucket/h2',
        region: 'r',
        service,
        at,
        payload: hex(body),
      };
      const fields = { ...headers, authorization: authorization({ ...of, headers: signed }) };
      const put = await client.ask('PUT /bucket/h2', fields, body);
      expect([scene.plain.problem(), put.status]).toEqual([null, 200]);
    }
    expect(scene.plain.objects.get('/bucket/h2')?.equals(body)).toBe(true);
    client.close();
  });

  it('does not let the id and the token of the real set come back from an upstream that tells them', async () => {
    const reply = await scene.send({
      to: scene.at.session,
      headers: { 'x-amz-meta-x': 'y' },
      url: '/nothing',
    });
    expect(reply.status).toBe(404);
    const { id, secret } = scene.ownSession;
    const bad = await scene.send({
      to: scene.at.session,
      url: '/bucket/x',
      meddle: (head) => `${head.slice(0, -2)}x-amz-late: 1\r\n\r\n`,
    });
    expect([scene.session.problem(), bad.status]).toEqual(['not signed: x-amz-late', 403]);
    const text = bad.body.toString();
    expect(text).toContain(`<AWSAccessKeyId>${id}</AWSAccessKeyId>`);
    expect(text).toContain(scene.ownSession.token);
    for (const part of [REAL_SESSION.id, REAL_SESSION.secret, REAL_SESSION.token ?? '', secret])
      for (const form of [part, spaced(part)]) expect(text).not.toContain(form);
    expect(text).toContain(spaced(scene.ownSession.token ?? ''));
  });

  it('is recorded and counted with the names of the set, never with a value', async () => {
    const before = await metric(
      scene.world,
      'sallyport_substitutions_total{group="agents",key="AWS_SECRET_ACCESS_KEY"}',
    );
    await pass({ url: '/bucket/recorded?list-type=2' });
    const decision = await eventually(async () =>
      (await scene.world.audit()).findLast(
        ({ kind, path }) => kind === 'decision' && String(path).startsWith('/bucket/recorded'),
      ),
    );
    expect(decision['keys']).toEqual(['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY']);
    const series = 'sallyport_substitutions_total{group="agents",key="AWS_SECRET_ACCESS_KEY"}';
    expect(await metric(scene.world, series)).toBe(before + 1);
    const said =
      JSON.stringify(await scene.world.audit()) + scene.world.log() + (await scene.world.metrics());
    for (const { id, secret, token } of [REAL_SET, REAL_SESSION])
      for (const part of [id, secret, ...(token === undefined ? [] : [token])])
        expect(said).not.toContain(part);
  });
});
