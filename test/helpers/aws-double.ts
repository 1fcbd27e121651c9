/**
 * A server that answers as S3, DynamoDB, SQS and STS do, as far as a signature goes: it holds the real key set and lets in
 * what is signed with it and nothing else. Judges with `sigv4.ts` of the tests, never with the product's code.
 */

import { createHmac } from 'node:crypto';
import type http from 'node:http';
import { type Credentials, hex, scopeOf, signatureOf, signingKey } from './sigv4.ts';
import { httpUpstream, type SeenRequest, type Upstream } from './upstream.ts';

export type AwsDouble = Upstream & {
  /** why the last request was refused; null: it was let in */
  problem(): string | null;
  /** stored objects, by path */
  readonly objects: Map<string, Buffer>;
};

export async function awsDouble(name: string, real: () => Credentials): Promise<AwsDouble> {
  let problem: string | null = null;
  const objects = new Map<string, Buffer>();
  const upstream = await httpUpstream({
    name,
    answer: (request, response) => {
      const judged = judge(request, real());
      problem = 'problem' in judged ? judged.problem : null;
      if ('problem' in judged) refuse(request, response, real(), judged.problem);
      else serve(objects, request, judged.body, response);
    },
  });
  return { ...upstream, problem: () => problem, objects };
}

type Judged = { readonly problem: string } | { readonly body: Buffer };

type Signed = {
  readonly id: string;
  readonly at: string;
  readonly region: string;
  readonly service: string;
  readonly signed: readonly string[];
  readonly signature: string;
  readonly token: string | undefined;
  readonly payload: string;
};

function judge(request: SeenRequest, real: Credentials): Judged {
  const claim = claimOf(request);
  if (claim === null) return { problem: 'not signed' };
  if (claim.id !== real.id) return { problem: `InvalidAccessKeyId ${claim.id}` };
  if (claim.token !== real.token) return { problem: 'InvalidToken' };
  const headers = Object.fromEntries(
    Object.entries(request.headers).map(([field, value]) => [field, String(value)]),
  );
  const unsigned = Object.keys(headers).filter(
    (field) => field.startsWith('x-amz-') && !claim.signed.includes(field),
  );
  if (unsigned.length > 0) return { problem: `not signed: ${unsigned.join()}` };
  const ask = { ...real, ...claim, method: request.method, url: request.url, headers };
  if (signatureOf(ask) !== claim.signature) return { problem: 'SignatureDoesNotMatch' };
  if (/^[0-9a-f]{64}$/.test(claim.payload) && hex(request.body) !== claim.payload)
    return { problem: 'XAmzContentSHA256Mismatch' };
  if (!claim.payload.startsWith('STREAMING-')) return { body: request.body };
  return unchunked(request.body, {
    ...ask,
    checked: claim.payload.startsWith('STREAMING-AWS4-HMAC-SHA256-PAYLOAD'),
  });
}

function claimOf(request: SeenRequest): Signed | null {
  const auth = request.headers.authorization;
  const query = new URLSearchParams(request.url.split(/\?(.*)/s)[1] ?? '');
  const header = (name: string): string | undefined => {
    const value = request.headers[name];
    return Array.isArray(value) ? value.join() : value;
  };
  const declared = header('x-amz-content-sha256');
  if (auth !== undefined) {
    const [, id = '', date = '', region = '', service = '', signed = '', signature = ''] =
      /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d+)\/([^/]+)\/([^/]+)\/aws4_request, SignedHeaders=([^,]+), Signature=(\w+)$/.exec(
        auth,
      ) ?? [];
    const at = header('x-amz-date') ?? '';
    if (!at.startsWith(date)) return null;
    const payload = declared ?? hex(request.body);
    const token = header('x-amz-security-token');
    return { id, at, region, service, signed: signed.split(';'), signature, token, payload };
  }
  const credential = query.get('X-Amz-Credential')?.split('/');
  if (credential === undefined) return null;
  const [id = '', , region = '', service = ''] = credential;
  return {
    id,
    at: query.get('X-Amz-Date') ?? '',
    region,
    service,
    signed: (query.get('X-Amz-SignedHeaders') ?? '').split(';'),
    signature: query.get('X-Amz-Signature') ?? '',
    token: query.get('X-Amz-Security-Token') ?? undefined,
    payload: declared ?? (service === 's3' ? 'UNSIGNED-PAYLOAD' : hex(request.body)),
  };
}

/** The body without its aws-chunked framing; every signature in it is checked. */
function unchunked(body: Buffer, by: Credentials & Signed & { readonly checked: boolean }): Judged {
  const key = signingKey(by);
  let previous = by.signature;
  const sign = (what: string, hashes: string): string => {
    const text = `AWS4-HMAC-SHA256-${what}\n${by.at}\n${scopeOf(by)}\n${previous}\n${hashes}`;
    previous = createHmac('sha256', key).update(text).digest('hex');
    return previous;
  };
  const parts: Buffer[] = [];
  let at = 0;
  for (;;) {
    const end = body.indexOf('\r\n', at);
    if (end === -1) return { problem: 'IncompleteBody' };
    const [size = '', signature] = body.toString('latin1', at, end).split(';chunk-signature=');
    const length = Number.parseInt(size, 16);
    const data = body.subarray(end + 2, end + 2 + length);
    if (by.checked && signature !== sign('PAYLOAD', `${hex('')}\n${hex(data)}`))
      return { problem: 'a chunk is not signed' };
    at = end + 2 + length;
    if (length === 0) break;
    parts.push(data);
    at += 2;
  }
  const trailer = body.toString('latin1', at);
  if (by.checked && by.payload.endsWith('-TRAILER')) {
    const [, field = '', signature] =
      /^(.*)\r\nx-amz-trailer-signature:(\w{64})\r\n\r\n$/.exec(trailer) ?? [];
    if (signature !== sign('TRAILER', hex(`${field}\n`))) return { problem: 'the trailer is not signed' };
  }
  return { body: Buffer.concat(parts) };
}

/** Bytes as S3 shows them. */
export function spaced(text: string): string {
  return Buffer.from(text)
    .toString('hex')
    .replace(/..(?!$)/g, '$& ');
}

/** S3 tells everything that it made its own signature of. */
function refuse(
  request: SeenRequest,
  response: http.ServerResponse,
  real: Credentials,
  problem: string,
): void {
  response.statusCode = 403;
  response.setHeader('content-type', 'application/xml');
  const told = JSON.stringify(request.headers);
  response.end(
    `<Error><Code>${problem}</Code><AWSAccessKeyId>${real.id}</AWSAccessKeyId><CanonicalRequest>${told}</CanonicalRequest><CanonicalRequestBytes>${spaced(told)}</CanonicalRequestBytes></Error>`,
  );
}

function serve(
  objects: Map<string, Buffer>,
  request: SeenRequest,
  body: Buffer,
  response: http.ServerResponse,
): void {
  const [path = '', query = ''] = request.url.split(/\?(.*)/s);
  const form = new URLSearchParams(body.toString());
  const parameters = new URLSearchParams(query);
  const xml = (text: string): void => {
    response.setHeader('content-type', 'application/xml');
    response.end(`<?xml version="1.0" encoding="UTF-8"?>\n${text}`);
  };
  if (request.headers['x-amz-target'] !== undefined) {
    response.setHeader('content-type', 'application/x-amz-json-1.0');
    return void response.end(JSON.stringify({ TableNames: ['one'], Echo: body.toString() }));
  }
  if (form.get('Action') === 'GetCallerIdentity' || parameters.get('Action') === 'GetCallerIdentity') {
    return xml(
      '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>arn:aws:iam::1:user/x</Arn><UserId>U</UserId><Account>1</Account></GetCallerIdentityResult></GetCallerIdentityResponse>',
    );
  }
  if (request.method === 'POST' && parameters.has('uploads'))
    return xml('<InitiateMultipartUploadResult><UploadId>up1</UploadId></InitiateMultipartUploadResult>');
  if (request.method === 'POST' && parameters.has('uploadId')) {
    const parts = [...objects.keys()].filter((name) => name.startsWith(`${path}#`)).sort();
    objects.set(path, Buffer.concat(parts.map((name) => objects.get(name) ?? Buffer.alloc(0))));
    return xml('<CompleteMultipartUploadResult><ETag>"e"</ETag></CompleteMultipartUploadResult>');
  }
  const part = parameters.get('partNumber');
  if (request.method === 'PUT') {
    objects.set(part === null ? path : `${path}#${part.padStart(5, '0')}`, body);
    response.setHeader('etag', '"e"');
    return void response.end();
  }
  if (parameters.has('list-type'))
    return xml(
      `<ListBucketResult><KeyCount>${objects.size}</KeyCount>${[...objects.keys()].map((name) => `<Contents><Key>${name.split('/').at(-1)}</Key><Size>1</Size></Contents>`).join('')}</ListBucketResult>`,
    );
  return object(objects.get(path), request, response);
}

function object(found: Buffer | undefined, request: SeenRequest, response: http.ServerResponse): void {
  if (found === undefined) {
    response.statusCode = 404;
    return void response.end(request.method === 'HEAD' ? '' : '<Error><Code>NoSuchKey</Code></Error>');
  }
  const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
  const whole = from === undefined || to === undefined;
  const data = whole ? found : found.subarray(Number(from), to === '' ? found.length : Number(to) + 1);
  response.statusCode = whole ? 200 : 206;
  if (!whole)
    response.setHeader('content-range', `bytes ${from}-${Number(from) + data.length - 1}/${found.length}`);
  response.setHeader('etag', '"e"');
  response.setHeader('last-modified', 'Fri, 24 May 2013 00:00:00 GMT');
  response.setHeader('accept-ranges', 'bytes');
  response.setHeader('content-length', data.length);
  response.end(request.method === 'HEAD' ? undefined : data);
}
