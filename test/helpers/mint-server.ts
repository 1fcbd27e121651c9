/**
 * A double of the authorities that `mint:` asks, over TLS: a token endpoint (RFC 6749) that knows Basic, body and
 * assertions, and GitHub's for installation tokens. Assertions are checked with `node:crypto`, not with the library that
 * made them. It makes another token at each question.
 */
import { createVerify, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type http from 'node:http';
import https from 'node:https';
import { jsonObject } from './json.ts';
import { upstreamAuthority, upstreamPair } from './world.ts';

type Answer = { readonly status: number; readonly body: unknown; readonly headers?: Record<string, string> };

type Question = {
  readonly path: string;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
  /** claims of the assertion, where it held and its signature fits */
  readonly claims: Record<string, unknown> | null;
};

export type MintServer = {
  /** `https://localhost:port` */
  readonly origin: string;
  readonly ca: readonly string[];
  readonly asked: readonly Question[];
  /** tokens that were given, oldest first */
  readonly given: readonly string[];
  /** PKCS #1, as GitHub gives it, and PKCS #8; their public half is what assertions are checked with */
  readonly keys: { readonly rsa: string; readonly ec: string };
  readonly client: { readonly id: string; readonly secret: string };
  /** how long tokens live from now on, seconds; null: it does not say */
  lifetime(seconds: number | null): void;
  /** another client secret from now on */
  secret(text: string): void;
  /** what tokens look like from now on; default: random */
  token(make: (() => string) | null): void;
  /** answers every question in this way until it is called with `null` */
  act(how: ((response: http.ServerResponse) => void) | null): void;
  close(): Promise<void>;
};

/** `now`: milliseconds since the epoch, default: the system's */
export async function mintServer(now: () => number = Date.now): Promise<MintServer> {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const asked: Question[] = [];
  const given: string[] = [];
  const client = { id: 'sally port:1', secret: 's+cret/with:signs%' };
  let lifetime: number | null = 3600;
  let make: (() => string) | null = null;
  let act: ((response: http.ServerResponse) => void) | null = null;

  const give = (prefix: string): string => {
    const token = make?.() ?? `${prefix}${randomBytes(18).toString('hex')}`;
    given.push(token);
    return token;
  };
  const grant = (question: Question): Answer => {
    const form = new URLSearchParams(question.body);
    if (form.get('grant_type') !== 'client_credentials') {
      return { status: 400, body: { error: 'unsupported_grant_type' } };
    }
    if (!mayHave(question, form, client)) {
      return { status: 401, body: { error: 'invalid_client', error_description: `not ${client.secret}` } };
    }
    const expires = lifetime === null ? {} : { expires_in: lifetime };
    return { status: 200, body: { access_token: give('tok_'), token_type: 'bearer', ...expires } };
  };
  const install = ({ path, claims }: Question): Answer => {
    if (claims?.['iss'] !== '12345') return { status: 401, body: { message: 'Bad credentials' } };
    const [iat, exp] = [Number(claims['iat']), Number(claims['exp'])];
    if (iat > now() / 1000 || exp - iat > 600) return { status: 401, body: { message: 'bad times' } };
    if (!path.endsWith('/installations/678/access_tokens')) {
      return { status: 404, body: { message: 'Not Found' } };
    }
    const expires = new Date(now() + (lifetime ?? 3600) * 1000).toISOString().replace(/\.\d+/, '');
    return { status: 201, body: { token: give('ghs_'), expires_at: expires, permissions: {} } };
  };
  const server = https.createServer(upstreamPair('localhost'), (request, response) => {
    const { url: path = '', headers } = request;
    let body = '';
    request.on('data', (chunk: Buffer) => {
      body += chunk.toString();
    });
    request.on('end', () => {
      const jwt = /^Bearer (.+)$/.exec(headers.authorization ?? '')?.[1];
      const assertion = jwt ?? new URLSearchParams(body).get('client_assertion');
      const claims = assertion === null ? null : verified(assertion, [rsa.publicKey, ec.publicKey]);
      const question = { path, headers, body, claims };
      asked.push(question);
      if (act !== null) return act(response);
      const answer = path.startsWith('/app/') ? install(question) : grant(question);
      response.writeHead(answer.status, { 'content-type': 'application/json', ...answer.headers });
      return response.end(JSON.stringify(answer.body));
    });
  });
  server.listen(0, 'localhost');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    origin: `https://localhost:${port}`,
    ca: [upstreamAuthority().certPem],
    asked,
    given,
    keys: {
      rsa: rsa.privateKey.export({ type: 'pkcs1', format: 'pem' }).toString(),
      ec: ec.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    },
    client,
    lifetime: (seconds) => {
      lifetime = seconds;
    },
    secret: (text) => {
      client.secret = text;
    },
    token: (how) => {
      make = how;
    },
    act: (how) => {
      act = how;
    },
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

function mayHave(
  { headers, claims }: Question,
  form: URLSearchParams,
  client: { id: string; secret: string },
): boolean {
  if (claims !== null) return claims['sub'] === client.id && claims['iss'] === client.id;
  if (form.get('client_id') === client.id && form.get('client_secret') === client.secret) return true;
  const basic = Buffer.from((headers.authorization ?? '').replace(/^Basic /, ''), 'base64').toString();
  const [id, secret] = basic.split(':').map((part) => new URLSearchParams(`x=${part}`).get('x'));
  return id === client.id && secret === client.secret;
}

/** The claims, where one of the keys signed them by RS256 or ES256. */
function verified(jwt: string, keys: readonly KeyObject[]): Record<string, unknown> | null {
  const [head = '', payload = '', signature = ''] = jwt.split('.');
  const parse = (part: string) => jsonObject(Buffer.from(part, 'base64url').toString());
  const { alg } = parse(head);
  const held = keys.some((key) => {
    const kind = alg === 'RS256' ? 'rsa' : 'ec';
    if (key.asymmetricKeyType !== kind) return false;
    const options = kind === 'ec' ? { key, dsaEncoding: 'ieee-p1363' as const } : { key };
    return createVerify('SHA256')
      .update(`${head}.${payload}`)
      .verify(options, Buffer.from(signature, 'base64url'));
  });
  return held ? { ...parse(payload), kid: parse(head)['kid'] } : null;
}
