/** A proxy with AWS key sets, the doubles they are for, and clients that sign with the placeholders. */
import { type AwsDouble, awsDouble } from './aws-double.ts';
import { intercepted, placeholderIn, policy } from './scene.ts';
import { amzDate, authorization, type Credentials, hex, type SignAsk } from './sigv4.ts';
import { askOnce, connectTls, type Reply, type Talk } from './talk.ts';
import { makeWorld, type World, type WorldOptions } from './world.ts';

export const REAL_SET: Credentials = {
  id: 'AKIAREALREALREALREAL',
  secret: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYREALREALKEY',
};
export const REAL_SESSION: Credentials = {
  id: 'ASIASESSIONSESSIONSE',
  secret: 'sEsSiOn/K7MDENG+bPxRfiCYREALREALKEYsession',
  token: `IQoJb3JpZ2luX2VjEJr//////////${'realSessionToken+/='.repeat(20)}`,
};

export type AwsWorld = {
  readonly world: World;
  /** s3.test: the set without a session */
  readonly plain: AwsDouble;
  /** sts.test: the set with a session; names prefixed with SES_ */
  readonly session: AwsDouble;
  readonly at: { readonly plain: string; readonly session: string };
  readonly own: Credentials;
  readonly ownSession: Credentials;
  /** placeholders of the group on 127.0.0.2 */
  readonly theirs: Credentials;
  /** signs as an SDK does, and sends */
  send(ask: AwsAsk): Promise<Reply>;
  connect(at?: string): Promise<Talk>;
  stop(): Promise<void>;
};

export type AwsAsk = {
  readonly method?: string;
  readonly url?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  /** default: the hash of the body for s3, none for others */
  readonly payload?: string | null;
  readonly service?: string;
  readonly region?: string;
  readonly by?: Credentials;
  readonly to?: string;
  readonly when?: string;
  /** changes what is sent after it was signed */
  readonly meddle?: (head: string) => string;
};

/** The request as signed text, ready to be written. */
export function signedText(ask: AwsAsk & { readonly by: Credentials; readonly to: string }): Buffer {
  const { method = 'GET', url = '/', service = 's3', region = 'us-east-1', by, to } = ask;
  const body = Buffer.from(ask.body ?? '');
  const date = ask.when ?? amzDate();
  const hash = hex(body);
  const payload = ask.payload === undefined && service === 's3' ? hash : (ask.payload ?? null);
  const headers: Record<string, string> = {
    host: to,
    'x-amz-date': date,
    ...(payload === null ? {} : { 'x-amz-content-sha256': payload }),
    ...(by.token === undefined ? {} : { 'x-amz-security-token': by.token }),
    ...(body.length === 0 ? {} : { 'content-length': String(body.length) }),
    ...ask.headers,
  };
  const signed: SignAsk = {
    ...by,
    method,
    url,
    headers,
    region,
    service,
    at: date,
    payload: payload ?? hash,
  };
  const lines = Object.entries({ ...headers, authorization: authorization(signed) }).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  );
  const head = `${method} ${url} HTTP/1.1\r\n${lines.join('')}\r\n`;
  return Buffer.concat([Buffer.from(ask.meddle?.(head) ?? head, 'latin1'), body]);
}

export async function awsWorld(more: Partial<WorldOptions> & { aws?: string } = {}): Promise<AwsWorld> {
  const plain = await awsDouble('s3.test', () => REAL_SET);
  const session = await awsDouble('sts.test', () => REAL_SESSION);
  const at = { plain: `s3.test:${plain.port}`, session: `sts.test:${session.port}` };
  const rules = [intercepted(at.plain), intercepted(at.session)];
  const world = await makeWorld({
    policies: {
      'agents.yaml': policy(rules, { sources: '127.0.0.1/32', more: 'profile: keys\n' }),
      'others.yaml': policy(rules, { group: 'others', sources: '127.0.0.2/32', more: 'profile: keys\n' }),
      'profiles/keys.yaml': `version: 1
profile: keys
aws:
  - access_key_id: env:REAL_ID
    secret_access_key: env:REAL_SECRET
    hosts: ["${at.plain}"]
${more.aws ?? ''}
  - access_key_id: env:SES_ID
    secret_access_key: env:SES_SECRET
    session_token: env:SES_TOKEN
    prefix: SES_
    hosts: ["${at.session}"]
`,
    },
    hosts: { 's3.test': ['127.0.0.1'], 'sts.test': ['127.0.0.1'] },
    env: {
      REAL_ID: REAL_SET.id,
      REAL_SECRET: REAL_SET.secret,
      SES_ID: REAL_SESSION.id,
      SES_SECRET: REAL_SESSION.secret,
      SES_TOKEN: REAL_SESSION.token ?? '',
    },
    ...more,
  });
  const setOf = async (prefix: string, localAddress: string): Promise<Credentials> => {
    const reply = await askOnce(world.port, 'GET /env?format=json HTTP/1.1\r\nHost: sallyport\r\n\r\n', {
      localAddress,
    });
    const env = reply.json();
    const get = (name: string): string => placeholderIn(env, `${prefix}AWS_${name}`);
    const set = { id: get('ACCESS_KEY_ID'), secret: get('SECRET_ACCESS_KEY') };
    return prefix === '' ? set : { ...set, token: get('SESSION_TOKEN') };
  };
  const own = await setOf('', '127.0.0.1');
  const ownSession = await setOf('SES_', '127.0.0.1');
  const connect = (to: string = at.plain): Promise<Talk> => connectTls(world.port, to, { ca: world.caPem });
  return {
    world,
    plain,
    session,
    at,
    own,
    ownSession,
    theirs: await setOf('', '127.0.0.2'),
    connect,
    send: async (ask) => {
      const to = ask.to ?? at.plain;
      const by = ask.by ?? (to === at.session ? ownSession : own);
      const client = await connect(to);
      client.write(signedText({ ...ask, to, by }));
      const reply = await client.reply({ head: ask.method === 'HEAD' });
      client.destroy();
      return reply;
    },
    stop: async () => {
      await world.stop();
      await plain.close();
      await session.close();
    },
  };
}
