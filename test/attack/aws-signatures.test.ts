/** AWS signatures that must not be made again, and parts of a key set where they do not belong: nothing reaches the upstream. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  type AwsAsk,
  type AwsWorld,
  awsWorld,
  REAL_SESSION,
  REAL_SET,
  signedText,
} from '../helpers/aws-world.ts';
import { connectH2 } from '../helpers/h2.ts';
import {
  amzDate,
  authorization,
  type Credentials,
  hex,
  presign,
  signatureOf,
  signedChunks,
} from '../helpers/sigv4.ts';
import { eventually } from '../helpers/world.ts';

const NARROW = `    regions: [us-east-1]
    services: [s3, dynamodb, sts]`;
const ATTACKER = { id: 'AKIAATTACKERATTACKER', secret: 'attackerattackerattackerattackerattacker' };
const minutes = (count: number): string => amzDate(Date.now() + count * 60_000);

describe('an AWS signature', () => {
  let scene: AwsWorld;
  let arrivedBefore = 0;
  const arrived = (): number => scene.plain.seen.length + scene.session.seen.length;
  beforeAll(async () => {
    scene = await awsWorld({ aws: NARROW });
  });
  afterAll(() => scene.stop());
  beforeEach(() => {
    arrivedBefore = arrived();
  });
  afterEach(() => {
    expect(arrived()).toBe(arrivedBefore);
  });

  const refused = async (ask: AwsAsk, status: number, reason: string): Promise<void> => {
    const reply = await scene.send(ask);
    expect(reply.json()).toMatchObject({ status, reason });
    for (const { id, secret, token } of [REAL_SET, REAL_SESSION])
      for (const part of [id, secret, token ?? id]) expect(reply.body.toString()).not.toContain(part);
  };

  const CHANGES: readonly [string, (head: string) => string][] = [
    ['a signed field', (head) => head.replace('x-amz-meta-a: 1', 'x-amz-meta-a: 2')],
    [
      'a signed field that stands there twice',
      (head) => head.replace('x-amz-meta-a: 1', 'x-amz-meta-a: 1\r\nx-amz-meta-a: 2'),
    ],
    ['a signed field that is gone', (head) => head.replace('x-amz-meta-a: 1\r\n', '')],
    ['the method', (head) => head.replace('GET', 'DELETE')],
    ['the path', (head) => head.replace('/bucket/a', '/bucket/b')],
    ['the query', (head) => head.replace('list-type=2', 'list-type=1')],
    ['a parameter more', (head) => head.replace('list-type=2', 'list-type=2&versions')],
    ['the date', (head) => head.replace(/x-amz-date: \S+/, `x-amz-date: ${minutes(-1)}`)],
    ['the region', (head) => head.replace(/us-east-1\/s3/, 'us-east-1/dynamodb')],
    [
      'the hash of the body',
      (head) => head.replace(/x-amz-content-sha256: \w+/, `x-amz-content-sha256: ${hex('x')}`),
    ],
    ['the signature', (head) => head.replace(/Signature=\w{8}/, 'Signature=00000000')],
    ['SignedHeaders', (head) => head.replace(';x-amz-meta-a', '')],
  ];
  it.each(CHANGES)(
    'over something else is refused: %s was changed after it was made',
    async (_what, meddle) => {
      const url = '/bucket/a?list-type=2';
      await refused({ url, headers: { 'x-amz-meta-a': '1' }, meddle }, 403, 'placeholder_wrong_place');
    },
  );

  it.each<[string, AwsAsk, number, string]>([
    ['20 minutes old', { when: minutes(-20) }, 403, 'placeholder_wrong_place'],
    ['20 minutes ahead', { when: minutes(20) }, 403, 'placeholder_wrong_place'],
    ['of a time that there is not', { when: '20261399T256199Z' }, 403, 'placeholder_wrong_place'],
    ['for a region that the set is not for', { region: 'eu-west-1' }, 403, 'placeholder_wrong_host'],
    ['for a service that the set is not for', { service: 'ec2' }, 403, 'placeholder_wrong_host'],
    ['by a key of the attacker’s own', { by: ATTACKER }, 403, 'placeholder_unknown'],
    ['with the real id', { by: { ...ATTACKER, id: REAL_SET.id } }, 403, 'secret_leak'],
    ['over signed events', { payload: 'STREAMING-AWS4-HMAC-SHA256-EVENTS' }, 403, 'placeholder_wrong_place'],
    ['over a word that stands for no body', { payload: 'anything' }, 403, 'placeholder_wrong_place'],
  ])('%s is refused', async (_what, ask, status, reason) => {
    await refused(ask, status, reason);
  });

  it.each<[string, (head: string) => string, number, string]>([
    [
      'SigV4a',
      (head) => head.replace('AWS4-HMAC-SHA256', 'AWS4-ECDSA-P256-SHA256'),
      403,
      'placeholder_wrong_place',
    ],
    [
      'version 2',
      (head) => head.replace(/authorization: .*/, 'authorization: AWS X:abc='),
      403,
      'placeholder_wrong_place',
    ],
    ['another case', (head) => head.replace('AWS4-HMAC', 'aws4-hmac'), 403, 'placeholder_wrong_place'],
    ['no Host under it', (head) => head.replace('SignedHeaders=host;', 'SignedHeaders='), 400, 'bad_request'],
    [
      'a list that is not sorted',
      (head) => head.replace('=host;x-amz-content-sha256', '=x-amz-content-sha256;host'),
      400,
      'bad_request',
    ],
    ['two of it', (head) => head.replace(/(authorization: .*\r\n)/, '$1$1'), 400, 'bad_request'],
    ['another member', (head) => head.replace(', Signature', ', X=1, Signature'), 400, 'bad_request'],
    ['a scope of five', (head) => head.replace('/aws4_request', '/x/aws4_request'), 400, 'bad_request'],
    ['no date', (head) => head.replace(/x-amz-date: .*\r\n/, ''), 400, 'bad_request'],
    ['the date of another day', (head) => head.replace(/\/\d{8}\//, '/20010101/'), 400, 'bad_request'],
    [
      'one in the query as well',
      (head) => head.replace('GET /?x', 'GET /?X-Amz-Signature=1'),
      400,
      'bad_request',
    ],
    [
      'one of version 2 in the query',
      (head) =>
        head.replace('GET /?x', 'GET /?AWSAccessKeyId=AKIA&Signature=1').replace(/authorization: .*\r\n/, ''),
      403,
      'placeholder_wrong_place',
    ],
  ])('that is written as nothing here reads it is refused: %s', async (_what, meddle, status, reason) => {
    await refused({ url: '/?x', meddle }, status, reason);
  });

  it('of another identity is refused in the words for a made-up one', async () => {
    const answers = [];
    for (const by of [scene.theirs, { ...ATTACKER, id: `AKIA${'Q'.repeat(16)}` }]) {
      const reply = await scene.send({ by });
      answers.push([reply.status, reply.json()['reason']]);
    }
    expect(answers).toEqual([
      [403, 'placeholder_unknown'],
      [403, 'placeholder_unknown'],
    ]);
  });

  it('with the id of one set and the secret of the other is refused', async () => {
    await refused({ by: { ...scene.own, secret: scene.ownSession.secret } }, 403, 'placeholder_wrong_place');
  });

  it('of a set that belongs to another host is refused', async () => {
    await refused({ by: scene.ownSession, to: scene.at.plain }, 403, 'placeholder_wrong_host');
    await refused({ by: scene.own, to: scene.at.session }, 403, 'placeholder_wrong_host');
  });

  it('with a session token that is not the set’s is refused', async () => {
    const to = scene.at.session;
    await refused({ to, by: { ...scene.ownSession, token: 'made-up' } }, 403, 'placeholder_unknown');
    await refused({ to, by: { ...scene.ownSession, token: scene.own.secret } }, 403, 'placeholder_unknown');
    await refused({ by: { ...scene.own, token: 'made-up' } }, 403, 'placeholder_unknown');
  });

  const presigned = (by: Credentials, expires: number, when = amzDate()): string =>
    presign(
      {
        ...by,
        method: 'GET',
        url: '/bucket/a',
        headers: { host: scene.at.plain },
        region: 'us-east-1',
        service: 's3',
        at: when,
        payload: 'UNSIGNED-PAYLOAD',
      },
      expires,
    );
  it.each<[string, () => string, number, string]>([
    ['that is over', () => presigned(scene.own, 60, minutes(-2)), 403, 'placeholder_wrong_place'],
    ['that is good for more than a week', () => presigned(scene.own, 700_000), 400, 'bad_request'],
    ['of the attacker’s own', () => presigned(ATTACKER, 60), 403, 'placeholder_unknown'],
    ['of another identity', () => presigned(scene.theirs, 60), 403, 'placeholder_unknown'],
    [
      'for another object',
      () => presigned(scene.own, 60).replace('/a?', '/b?'),
      403,
      'placeholder_wrong_place',
    ],
    [
      'with a parameter more',
      () => `${presigned(scene.own, 60)}&versionId=1`,
      403,
      'placeholder_wrong_place',
    ],
    ['with two credentials', () => `${presigned(scene.own, 60)}&X-Amz-Credential=x`, 400, 'bad_request'],
    [
      'with a credential in another case',
      () => `${presigned(scene.own, 60).replace('X-Amz-Cred', 'x-amz-cred')}`,
      400,
      'bad_request',
    ],
  ])('in a presigned URL %s is refused', async (_what, url, status, reason) => {
    const client = await scene.connect();
    const reply = await client.ask(`GET ${url()} HTTP/1.1\r\nHost: ${scene.at.plain}\r\n\r\n`);
    expect(reply.json()).toMatchObject({ status, reason });
    client.destroy();
  });

  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  const PLACES: readonly [string, (part: string) => [string, string]][] = [
    ['a header', (part) => ['/', `X-Key: ${part}\r\n`]],
    ['Authorization', (part) => ['/', `Authorization: Bearer ${part}\r\n`]],
    ['version 2', (part) => ['/', `Authorization: AWS ${part}:c2lnbmF0dXJl\r\n`]],
    ['Basic', (part) => ['/', `Authorization: Basic ${base64(`${part}:x`)}\r\n`]],
    ['a cookie', (part) => ['/', `Cookie: a=${part}\r\n`]],
    ['the User-Agent', (part) => ['/', `User-Agent: ${part}\r\n`]],
    ['the session token’s field', (part) => ['/', `X-Amz-Security-Token: ${part}\r\n`]],
    ['the query', (part) => [`/?k=${part}`, '']],
    ['the path', (part) => [`/bucket/${part}`, '']],
  ];
  it.each(PLACES)('is the only place of a set’s placeholders: none is put into %s', async (_where, make) => {
    const client = await scene.connect();
    const other = await scene.connect(scene.at.session);
    for (const part of [scene.own.id, scene.own.secret]) {
      const [url, fields] = make(part);
      const reply = await client.ask(`GET ${url} HTTP/1.1\r\nHost: ${scene.at.plain}\r\n${fields}\r\n`);
      expect(reply.json()).toMatchObject({ status: 403, reason: 'placeholder_wrong_place' });
    }
    const [url, fields] = make(scene.ownSession.token ?? '');
    const reply = await other.ask(`GET ${url} HTTP/1.1\r\nHost: ${scene.at.session}\r\n${fields}\r\n`);
    expect(reply.json()).toMatchObject({ status: 403, reason: 'placeholder_wrong_place' });
    client.destroy();
    other.destroy();
  });

  it('does not hide a placeholder or a real value that stands elsewhere in its request', async () => {
    const headers = (value: string) => ({ headers: { 'x-amz-meta-a': value } });
    await refused(headers(scene.own.secret), 403, 'placeholder_wrong_place');
    await refused(headers(scene.own.id), 403, 'placeholder_wrong_place');
    await refused(headers(scene.theirs.secret), 403, 'placeholder_unknown');
    await refused(headers(REAL_SET.secret), 403, 'secret_leak');
    await refused(headers(REAL_SESSION.token ?? ''), 403, 'secret_leak');
  });

  it.each<[string, AwsAsk]>([
    ['AssumeRole', { method: 'POST', body: 'Action=AssumeRole&RoleArn=x' }],
    ['GetSessionToken in the query', { url: '/?Action=GetSessionToken' }],
    ['two actions', { method: 'POST', body: 'Action=GetCallerIdentity&Action=AssumeRole' }],
    [
      'one in the query, one in the body',
      { method: 'POST', url: '/?Action=AssumeRole', body: 'Action=GetCallerIdentity' },
    ],
    ['an action in another case', { method: 'POST', body: 'Action=GetCallerIdentity&action=AssumeRole' }],
    ['an encoded name', { method: 'POST', body: 'Action=GetCallerIdentity&%41ction=AssumeRole' }],
    ['no action', { method: 'POST', body: 'Version=2011-06-15' }],
  ])('over a call of STS that answers with credentials is refused: %s', async (_what, ask) => {
    const payload = hex(String(ask.body ?? ''));
    for (const declared of [null, payload])
      await refused({ ...ask, service: 'sts', payload: declared }, 403, 'placeholder_wrong_place');
  });

  it('over another body than the one that is sent is refused, and the upstream never has all of it', async () => {
    const body = 'x'.repeat(200_000);
    const connections = scene.plain.connections();
    for (const [of, payload] of [
      [{ service: 's3' }, hex(`${body}y`)],
      [{ service: 'dynamodb' }, hex(`${body}y`)],
    ] as const) {
      const client = await scene.connect();
      client.write(
        signedText({
          method: 'PUT',
          url: '/bucket/x',
          body,
          payload,
          ...of,
          by: scene.own,
          to: scene.at.plain,
        }),
      );
      const reply = await client.reply();
      expect(reply.json()).toMatchObject({ status: 403, reason: 'placeholder_wrong_place' });
      client.destroy();
    }
    await eventually(() => scene.plain.connections() >= connections);
    expect(scene.plain.objects.has('/bucket/x')).toBe(false);
  });

  it('over a hash that no field says is refused where the body is another, before anything is sent', async () => {
    const connections = scene.plain.connections();
    const ask = { method: 'POST', service: 'dynamodb', body: '{"a":1}', by: scene.own, to: scene.at.plain };
    const client = await scene.connect();
    client.write(Buffer.from(signedText(ask).toString().replace('{"a":1}', '{"a":2}')));
    expect((await client.reply()).json()).toMatchObject({ status: 403, reason: 'placeholder_wrong_place' });
    client.destroy();
    expect(scene.plain.connections()).toBe(connections);
  });

  it('over a body that is too large to be held is refused, whether its length is told or not', async () => {
    const headers = { 'content-length': String(9 * 1024 * 1024) };
    await refused({ method: 'POST', service: 'dynamodb', headers }, 413, 'body_too_large');
    const client = await scene.connect();
    const ask = {
      ...scene.own,
      method: 'POST',
      url: '/',
      region: 'us-east-1',
      service: 'dynamodb',
      at: amzDate(),
    };
    const fields = { host: scene.at.plain, 'x-amz-date': ask.at };
    const auth = authorization({ ...ask, headers: fields, payload: hex('') });
    client.write(
      `POST / HTTP/1.1\r\nHost: ${scene.at.plain}\r\nX-Amz-Date: ${ask.at}\r\nAuthorization: ${auth}\r\nTransfer-Encoding: chunked\r\n\r\n`,
    );
    for (let n = 0; n < 9; n += 1) client.write(`100000\r\n${'a'.repeat(1024 * 1024)}\r\n`);
    expect((await client.reply()).json()).toMatchObject({ status: 413, reason: 'body_too_large' });
    client.destroy();
  });

  const CHUNKS = [Buffer.alloc(20_000, 'a'), Buffer.alloc(20_000, 'b')];
  const meddled: readonly [string, (body: Buffer) => Buffer, string][] = [
    [
      'the bytes of one',
      (body) => Buffer.from(body.toString().replace('bbbb', 'bbab')),
      'placeholder_wrong_place',
    ],
    [
      'the signature of one',
      (body) => Buffer.from(body.toString().replace(/(b\r\n0;chunk-signature=)\w{4}/, '$10000')),
      'placeholder_wrong_place',
    ],
    [
      'their order',
      (body) => Buffer.from(body.toString().replace(/^(.*\r\na+\r\n)(.*\r\nb+\r\n)/, '$2$1')),
      'placeholder_wrong_place',
    ],
    ['a size', (body) => Buffer.from(body.toString().replace('4e20;', '4e21;')), 'bad_request'],
    [
      'the form of a line',
      (body) => Buffer.from(body.toString().replace(';chunk-signature=', ';x=1;chunk-sign=')),
      'bad_request',
    ],
    [
      'more behind the last',
      (body) => Buffer.concat([body.subarray(0, -2), Buffer.from('\r\nx')]),
      'bad_request',
    ],
  ];
  it.each(meddled)(
    'over chunks holds for every one: a change of %s is refused',
    async (_what, change, reason) => {
      const payload = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD';
      const at = amzDate();
      const base = {
        ...scene.own,
        method: 'PUT',
        url: '/bucket/c',
        region: 'us-east-1',
        service: 's3',
        at,
        payload,
      };
      const headers = { host: scene.at.plain, 'x-amz-content-sha256': payload, 'x-amz-date': at };
      const ask = { ...base, headers };
      const body = change(signedChunks(ask, signatureOf(ask), CHUNKS));
      const lines = Object.entries({
        ...headers,
        authorization: authorization(ask),
        'content-length': String(body.length),
      });
      const client = await scene.connect();
      const head = `PUT ${ask.url} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
      client.write(Buffer.concat([Buffer.from(head), body]));
      expect((await client.reply()).json()).toMatchObject({ reason });
      client.destroy();
      expect(scene.plain.objects.has('/bucket/c')).toBe(false);
    },
  );

  it('is refused over HTTP/2 for the same reasons', async () => {
    const client = await connectH2(scene.world.port, scene.at.plain, { ca: scene.world.caPem });
    for (const [url, reason] of [
      [presigned(ATTACKER, 60), 'placeholder_unknown'],
      [presigned(scene.own, 60).replace('/a?', '/b?'), 'placeholder_wrong_place'],
      [`/?x=${scene.own.secret}`, 'placeholder_wrong_place'],
    ] as const)
      expect((await client.ask(`GET ${url}`)).json()).toMatchObject({ status: 403, reason });
    client.close();
  });
});
