/**
 * Installation tokens of a GitHub App: the app signs an assertion with its private key (RS256) and gets a token for the
 * repositories of one installation, for an hour. Asked by `mint.ts`.
 */
import type { MintSpec } from '../policy/model.ts';
import { type HttpsAnswer, jsonOf } from './https.ts';
import { installationAnswer } from './mint-answers.ts';
import { signAssertion } from './mint-jwt.ts';
import type { Minted, MintRequest } from './mint-request.ts';
import { SecretSourceError } from './source.ts';

type AppSpec = Extract<MintSpec, { kind: 'github_app' }>;

/** GitHub advises to date back by a minute for clocks that differ, and takes ten minutes at most. */
const BACKDATED_SECONDS = 60;
const ASSERTION_SECONDS = 300;
const API_VERSION = '2022-11-28';

export async function askInstallationToken(
  spec: AppSpec,
  { credential, https, signal, clock }: MintRequest,
): Promise<Minted> {
  const now = Math.floor(clock.now() / 1000);
  const assertion = await signAssertion(credential, {
    alg: 'RS256',
    issuer: spec.appId,
    issuedAt: now - BACKDATED_SECONDS,
    expiresAt: now + ASSERTION_SECONDS,
  });
  const { repositories, permissions, origin, path } = spec;
  const answer = await https.ask({
    origin,
    path,
    method: 'POST',
    headers: {
      accept: 'application/vnd.github+json',
      authorization: `Bearer ${assertion}`,
      'content-type': 'application/json',
      'user-agent': 'sallyport',
      'x-github-api-version': API_VERSION,
    },
    body: JSON.stringify({
      ...(repositories === null ? {} : { repositories }),
      ...(permissions === null ? {} : { permissions }),
    }),
    signal,
  });
  if (answer.status !== 201) throw refused(answer);
  const read = installationAnswer.safeParse(jsonOf(answer.bytes));
  const until = Date.parse(read.data?.expires_at ?? '');
  if (!read.success || Number.isNaN(until)) {
    throw new SecretSourceError('damaged', 'the answer is none of the GitHub API');
  }
  return { token: read.data.token, lifetimeMs: until - clock.now() };
}

function refused({ status, header, bytes }: HttpsAnswer): SecretSourceError {
  bytes.fill(0);
  const limited = header('retry-after') !== null || header('x-ratelimit-remaining') === '0';
  if (status === 429 || (status === 403 && limited)) {
    return new SecretSourceError('unreadable', `it asks for fewer questions (${status})`);
  }
  switch (status) {
    case 401:
      return new SecretSourceError('denied', 'the app id or its key is refused (401)');
    case 403:
      return new SecretSourceError('denied', 'the installation is suspended, or not of this app (403)');
    case 404:
      return new SecretSourceError('not_found', 'there is no such installation of this app (404)');
    case 422:
      return new SecretSourceError('denied', 'the installation lacks a repository or a permission (422)');
    default:
      return new SecretSourceError('unreadable', `it answered with status ${status}`);
  }
}
