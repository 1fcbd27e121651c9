/**
 * OAuth 2.0 client credentials (RFC 6749 section 4.4): the client proves itself by its secret (2.3.1) or by an assertion
 * that it signs (RFC 7523), and gets a bearer token. Asked by `mint.ts`.
 */
import type { MintSpec } from '../policy/model.ts';
import type { SecretValue } from '../secrets/value.ts';
import { jsonOf } from './https.ts';
import { refusalAnswer, tokenAnswer } from './mint-answers.ts';
import { signAssertion } from './mint-jwt.ts';
import type { Minted, MintRequest } from './mint-request.ts';
import { SecretSourceError } from './source.ts';

type ClientSpec = Extract<MintSpec, { kind: 'client_credentials' }>;

const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
/** How long an assertion may be used, seconds. */
const ASSERTION_SECONDS = 60;
/** They say that this client may not have the token; others, that the server could not think about it. */
const FINAL = ['invalid_client', 'invalid_grant', 'unauthorized_client', 'invalid_scope', 'access_denied'];

export async function askClientToken(
  spec: ClientSpec,
  { credential, https, signal, clock }: MintRequest,
): Promise<Minted> {
  const form = new URLSearchParams({ grant_type: 'client_credentials' });
  for (const [name, value] of spec.fields) form.set(name, value);
  const headers: Record<string, string> = {
    accept: 'application/json',
    'content-type': 'application/x-www-form-urlencoded',
  };
  switch (spec.auth) {
    case 'basic':
      headers['authorization'] = basic(spec.clientId, textOf(credential));
      break;
    case 'body':
      form.set('client_id', spec.clientId);
      form.set('client_secret', textOf(credential));
      break;
    case 'private_key_jwt':
      form.set('client_id', spec.clientId);
      form.set('client_assertion_type', ASSERTION_TYPE);
      form.set('client_assertion', await assertion(spec, credential, clock.now()));
      break;
  }
  const body = Buffer.from(form.toString(), 'utf8');
  try {
    const { origin, path } = spec;
    const answer = await https.ask({ origin, path, method: 'POST', headers, body, signal });
    if (answer.status === 200) return granted(jsonOf(answer.bytes));
    throw refused(answer.status, answer.bytes);
  } finally {
    body.fill(0);
  }
}

function granted(json: unknown): Minted {
  const read = tokenAnswer.safeParse(json);
  if (!read.success) throw new SecretSourceError('damaged', 'the answer is none of a token endpoint');
  const { access_token, token_type, expires_in } = read.data;
  // Others (DPoP, MAC) are of no use without a proof that a sandbox cannot make.
  if (token_type.toLowerCase() !== 'bearer') {
    throw new SecretSourceError('damaged', 'the token is no bearer token');
  }
  return { token: access_token, lifetimeMs: expires_in === undefined ? null : expires_in * 1000 };
}

function refused(status: number, bytes: Buffer): SecretSourceError {
  const code = errorCode(bytes);
  const known = FINAL.find((one) => one === code);
  if (known !== undefined) {
    return new SecretSourceError('denied', `the token endpoint refuses: ${known} (${status})`);
  }
  if (status === 401) return new SecretSourceError('denied', 'the token endpoint refuses (401)');
  if (status >= 300 && status < 400) {
    return new SecretSourceError('unreadable', `it redirects (${status}), which is not followed`);
  }
  return new SecretSourceError('unreadable', `it answered with status ${status}`);
}

function errorCode(bytes: Buffer): string | null {
  try {
    return refusalAnswer.safeParse(jsonOf(bytes)).data?.error ?? null;
  } catch {
    // A refusal without JSON has no code.
    return null;
  }
}

function assertion(spec: ClientSpec, key: SecretValue, nowMs: number): Promise<string> {
  const issuedAt = Math.floor(nowMs / 1000);
  const { alg = 'RS256', keyId = null, audience = spec.origin + spec.path } = spec.assertion ?? {};
  return signAssertion(key, {
    alg,
    keyId,
    issuer: spec.clientId,
    subject: spec.clientId,
    audience,
    issuedAt,
    expiresAt: issuedAt + ASSERTION_SECONDS,
  });
}

/** RFC 6749 section 2.3.1: both parts in form encoding before they are joined. */
function basic(id: string, secret: string): string {
  const encoded = [id, secret].map((part) => new URLSearchParams([['', part]]).toString().slice(1)).join(':');
  return `Basic ${Buffer.from(encoded, 'utf8').toString('base64')}`;
}

function textOf(secret: SecretValue): string {
  return secret.expose().toString('utf8');
}
