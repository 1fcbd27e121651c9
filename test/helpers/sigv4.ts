/**
 * AWS signatures as a client makes them and a server checks them, by code of the tests' own: no import of src/, so that
 * what the proxy signs is judged by something else. Written after the IAM user guide, not after the library.
 */
import { createHash, createHmac } from 'node:crypto';

export type Credentials = {
  readonly id: string;
  readonly secret: string;
  readonly token?: string | undefined;
};

export type SignAsk = Credentials & {
  readonly method: string;
  /** origin-form, as it is sent */
  readonly url: string;
  /** lower-case names; values trimmed */
  readonly headers: Readonly<Record<string, string>>;
  readonly region: string;
  readonly service: string;
  /** YYYYMMDDTHHMMSSZ */
  readonly at: string;
  readonly payload: string;
  /** default: all of `headers` */
  readonly signed?: readonly string[];
};

export const hex = (data: string | Buffer): string => createHash('sha256').update(data).digest('hex');
const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();

export function signingKey(of: Pick<SignAsk, 'secret' | 'at' | 'region' | 'service'>): Buffer {
  const day = hmac(`AWS4${of.secret}`, of.at.slice(0, 8));
  return hmac(hmac(hmac(day, of.region), of.service), 'aws4_request');
}

export function scopeOf(of: Pick<SignAsk, 'at' | 'region' | 'service'>): string {
  return `${of.at.slice(0, 8)}/${of.region}/${of.service}/aws4_request`;
}

const encode = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);

function canonicalPath(path: string, service: string): string {
  if (service === 's3') return path;
  const segments = path.split('/').filter((segment) => segment !== '' && segment !== '.');
  const end = segments.length > 0 && path.endsWith('/') ? '/' : '';
  return `/${segments.map(encode).join('/')}${end}`;
}

function canonicalQuery(query: string): string {
  return query
    .split('&')
    .filter((pair) => pair !== '')
    .map((pair) => {
      const [name = '', ...value] = pair.split('=');
      return [encode(decodeURIComponent(name)), encode(decodeURIComponent(value.join('=')))] as const;
    })
    .filter(([name]) => name !== 'X-Amz-Signature')
    .sort(([a, x], [b, y]) => (a < b || (a === b && x < y) ? -1 : 1))
    .map(([name, value]) => `${name}=${value}`)
    .join('&');
}

export function signatureOf(ask: SignAsk): string {
  const [path = '', query = ''] = ask.url.split(/\?(.*)/s);
  const names = [...(ask.signed ?? Object.keys(ask.headers))].sort();
  const request = [
    ask.method,
    canonicalPath(path, ask.service),
    canonicalQuery(query),
    ...names.map((name) => `${name}:${(ask.headers[name] ?? '').replace(/ +/g, ' ')}`),
    '',
    names.join(';'),
    ask.payload,
  ].join('\n');
  const text = `AWS4-HMAC-SHA256\n${ask.at}\n${scopeOf(ask)}\n${hex(request)}`;
  return hmac(signingKey(ask), text).toString('hex');
}

/** Value of Authorization. */
export function authorization(ask: SignAsk): string {
  const names = [...(ask.signed ?? Object.keys(ask.headers))].sort().join(';');
  return `AWS4-HMAC-SHA256 Credential=${ask.id}/${scopeOf(ask)}, SignedHeaders=${names}, Signature=${signatureOf(ask)}`;
}

/** The URL, presigned. */
export function presign(ask: SignAsk, expires: number): string {
  const names = [...(ask.signed ?? Object.keys(ask.headers))].sort().join(';');
  const pairs = [
    'X-Amz-Algorithm=AWS4-HMAC-SHA256',
    `X-Amz-Credential=${encode(`${ask.id}/${scopeOf(ask)}`)}`,
    `X-Amz-Date=${ask.at}`,
    `X-Amz-Expires=${expires}`,
    `X-Amz-SignedHeaders=${encode(names)}`,
    ...(ask.token === undefined ? [] : [`X-Amz-Security-Token=${encode(ask.token)}`]),
  ];
  const url = `${ask.url}${ask.url.includes('?') ? '&' : '?'}${pairs.join('&')}`;
  return `${url}&X-Amz-Signature=${signatureOf({ ...ask, url })}`;
}

/** An aws-chunked body with a signature for each chunk; `trailer`: a field line without its end. */
export function signedChunks(
  ask: SignAsk,
  seed: string,
  chunks: readonly Buffer[],
  trailer: string | null = null,
): Buffer {
  const key = signingKey(ask);
  let previous = seed;
  const sign = (what: string, hashes: string): string => {
    previous = hmac(
      key,
      `AWS4-HMAC-SHA256-${what}\n${ask.at}\n${scopeOf(ask)}\n${previous}\n${hashes}`,
    ).toString('hex');
    return previous;
  };
  const line = (data: Buffer): string =>
    `${data.length.toString(16)};chunk-signature=${sign('PAYLOAD', `${hex('')}\n${hex(data)}`)}\r\n`;
  const parts = chunks.flatMap((data) => [Buffer.from(line(data)), data, Buffer.from('\r\n')]);
  const last = line(Buffer.alloc(0));
  if (trailer === null) return Buffer.concat([...parts, Buffer.from(`${last}\r\n`)]);
  const signature = sign('TRAILER', hex(`${trailer}\n`));
  return Buffer.concat([
    ...parts,
    Buffer.from(`${last}${trailer}\r\nx-amz-trailer-signature:${signature}\r\n\r\n`),
  ]);
}

/** Now, as X-Amz-Date. */
export function amzDate(now: number = Date.now()): string {
  return new Date(now).toISOString().replace(/[-:]|\.\d+/g, '');
}
