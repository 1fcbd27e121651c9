/** A key set over time and in bad company: rotated, away, excluded, in the clear, and bodies without a length. */
import { rmSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decide, theHeld } from '../helpers/approvals.ts';
import { type AwsDouble, awsDouble } from '../helpers/aws-double.ts';
import { type AwsAsk, signedText } from '../helpers/aws-world.ts';
import { intercepted, placeholderIn, policy } from '../helpers/scene.ts';
import { amzDate, authorization, type Credentials, hex, presign } from '../helpers/sigv4.ts';
import { askOnce, connectTls, type Reply, type Talk } from '../helpers/talk.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';
import { handshakeText } from '../helpers/websocket.ts';
import { eventually, makeWorld, type World } from '../helpers/world.ts';

const FIRST: Credentials = {
  id: 'AKIAFIRSTFIRSTFIRSTF',
  secret: 'first/first+first/first+first/first+first',
};
const SECOND: Credentials = {
  id: 'AKIASECONDSECONDSECO',
  secret: 'second/second+second/second+second/second',
};

const TARGET = { 'x-amz-target': 'DynamoDB_20120810.ListTables' };

describe('an AWS key set', () => {
  let real = FIRST;
  let double: AwsDouble;
  let clear: Upstream;
  let world: World;
  let client: Talk;
  let own: Credentials;
  let at = '';
  const rules = (): string[] => [intercepted(at), intercepted(`clear.test:${clear.port}`)];

  beforeAll(async () => {
    double = await awsDouble('s3.test', () => real);
    clear = await httpUpstream();
    at = `s3.test:${double.port}`;
    world = await makeWorld({
      policies: {
        'agents.yaml': policy(rules(), { more: 'profile: keys\n' }),
        'profiles/keys.yaml': `version: 1
profile: keys
aws:
  - access_key_id: file:id
    secret_access_key: file:secret
    hosts: ["${at}", "clear.test:${clear.port}"]
`,
      },
      hosts: { 's3.test': ['127.0.0.1'], 'clear.test': ['127.0.0.1'] },
      files: { id: FIRST.id, secret: `${FIRST.secret}\n` },
    });
    const env = (
      await askOnce(world.port, 'GET /env?format=json HTTP/1.1\r\nHost: sallyport\r\n\r\n')
    ).json();
    own = {
      id: placeholderIn(env, 'AWS_ACCESS_KEY_ID'),
      secret: placeholderIn(env, 'AWS_SECRET_ACCESS_KEY'),
    };
    client = await connectTls(world.port, at, { ca: world.caPem });
  });
  afterAll(async () => {
    client.destroy();
    await world.stop();
    await double.close();
    await clear.close();
  });

  const ask = (what: AwsAsk = {}): Promise<Reply> => {
    client.write(signedText({ url: '/bucket?list-type=2', ...what, by: what.by ?? own, to: at }));
    return client.reply();
  };

  it('in the clear is refused: it is used inside TLS only', async () => {
    const to = `clear.test:${clear.port}`;
    const text = signedText({ url: '/x', by: own, to }).toString().replace('GET /', `GET http://${to}/`);
    const reply = await askOnce(world.port, text);
    expect(reply.json()).toMatchObject({ status: 403, reason: 'secret_requires_tls' });
    expect(clear.seen).toHaveLength(0);
  });

  it('keeps the end of a chunked body from the upstream where its hash is another', async () => {
    const before = double.seen.length;
    for (const [payload, outcome] of [
      [hex('hello'), 200],
      [hex('hullo'), 403],
    ] as const) {
      const date = amzDate();
      const headers = { host: at, 'x-amz-content-sha256': payload, 'x-amz-date': date };
      const url = '/bucket/chunked';
      const of = { ...own, method: 'PUT', url, headers, region: 'r', service: 's3', at: date, payload };
      const lines = Object.entries({
        ...headers,
        authorization: authorization(of),
        'transfer-encoding': 'chunked',
      });
      const talk = await connectTls(world.port, at, { ca: world.caPem });
      talk.write(
        `PUT ${url} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`,
      );
      for (const char of 'hello') talk.write(`1\r\n${char}\r\n`);
      talk.write('0\r\n\r\n');
      expect((await talk.reply()).status).toBe(outcome);
      talk.destroy();
    }
    expect(double.seen.length).toBe(before + 1);
    expect(double.objects.get('/bucket/chunked')?.toString()).toBe('hello');
  });

  it('holds a body that comes byte by byte, and signs it', async () => {
    const date = amzDate();
    const headers = { host: at, 'x-amz-date': date, 'x-amz-target': 'DynamoDB_20120810.ListTables' };
    const body = JSON.stringify({ Limit: 1, Padding: 'x'.repeat(5_000) });
    const of = { ...own, method: 'POST', url: '/', headers, region: 'r', service: 'dynamodb', at: date };
    const lines = Object.entries({
      ...headers,
      authorization: authorization({ ...of, payload: hex(body) }),
      'transfer-encoding': 'chunked',
    });
    client.write(`POST / HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`);
    client.write(
      `${body
        .split('')
        .map((char) => `1\r\n${char}\r\n`)
        .join('')}0\r\n\r\n`,
    );
    const reply = await client.reply();
    expect([double.problem(), reply.status]).toEqual([null, 200]);
    expect(reply.json()['Echo']).toBe(body);
  });

  it('signs the URL of a WebSocket handshake again', async () => {
    const of = {
      ...own,
      method: 'GET',
      headers: { host: at },
      region: 'r',
      service: 'transcribe',
      payload: hex(''),
    };
    const url = presign({ ...of, url: '/stream?language-code=en', at: amzDate() }, 300);
    const talk = await connectTls(world.port, at, { ca: world.caPem });
    talk.write(handshakeText(at, url));
    await eventually(() => double.seen.at(-1)?.url.startsWith('/stream'));
    expect(double.problem()).toBeNull();
    talk.destroy();
  });

  it('that rotates signs the next request on an open connection; the old id is a leak then', async () => {
    expect((await ask()).status).toBe(200);
    real = SECOND;
    world.write('id', SECOND.id);
    world.write('secret', SECOND.secret);
    await eventually(async () => (await ask()).status === 200);
    expect(double.seen.at(-1)?.headers.authorization).toContain(`Credential=${SECOND.id}/`);
    const leak = await ask({ headers: { 'x-amz-meta-a': FIRST.id } });
    expect(leak.json()).toMatchObject({ status: 403, reason: 'secret_leak' });
  });

  it('of which a part is away signs nothing', async () => {
    rmSync(path.join(world.dir, 'secret'));
    await eventually(async () => (await ask()).status === 503);
    expect((await ask()).json()).toMatchObject({ reason: 'secret_unavailable' });
    world.write('secret', SECOND.secret);
    await eventually(async () => (await ask()).status === 200);
  });

  it('signs what a person was asked about after the yes, and they see which set it is', async () => {
    const asked = [
      `approve: "${at}", wait: 5m, addresses: [127.0.0.0/8]`,
      intercepted(`clear.test:${clear.port}`),
    ];
    world.setPolicy('agents.yaml', policy(asked, { more: 'profile: keys\n' }));
    const talk = await connectTls(world.port, at, { ca: world.caPem });
    const before = double.seen.length;
    talk.write(
      signedText({ method: 'POST', service: 'dynamodb', body: '{"a":1}', headers: TARGET, by: own, to: at }),
    );
    const waiting = await theHeld(world);
    expect(waiting.keys).toEqual(['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY']);
    expect(double.seen.length).toBe(before);
    await decide(world, waiting.id);
    expect([(await talk.reply()).status, double.problem()]).toEqual([200, null]);
    talk.destroy();
    world.setPolicy('agents.yaml', policy(rules(), { more: 'profile: keys\n' }));
  });

  it('that a group excludes does not exist for it, whichever variable is named', async () => {
    const before = double.seen.length;
    world.setPolicy(
      'agents.yaml',
      policy(rules(), { more: 'profile: keys\nexclude: [AWS_SECRET_ACCESS_KEY]\n' }),
    );
    expect((await ask()).json()).toMatchObject({ status: 403, reason: 'placeholder_unknown' });
    expect(double.seen.length).toBe(before);
    const env = (
      await askOnce(world.port, 'GET /env?format=json HTTP/1.1\r\nHost: sallyport\r\n\r\n')
    ).json();
    expect(env['AWS_ACCESS_KEY_ID']).toBeUndefined();
    const whoami = await askOnce(world.port, 'GET /whoami HTTP/1.1\r\nHost: sallyport\r\n\r\n');
    expect(whoami.json()).toMatchObject({ keys: { usable: 0, total: 2 } });
  });
});
