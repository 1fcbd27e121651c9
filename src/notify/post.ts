/**
 * One POST to the operator's webhook, by undici: TLS verified, no redirects, limits for time and for what it answers, of
 * which nothing is read but the status. Used by `notifier.ts`.
 */
import type { Agent } from 'undici';

const CONNECT_MS = 5_000;
const ANSWER_MS = 10_000;
const MAX_HEADER_BYTES = 16_384;
/** Read and thrown away, so that the connection can be used again. */
const MAX_ANSWER_BYTES = 65_536;

/** `later`: it may be taken when it is sent again. */
export type Posted = 'ok' | 'later' | 'never';

export type Post = {
  (body: string, headers: Readonly<Record<string, string>>): Promise<Posted>;
  close(): Promise<void>;
};

/** `ca`: what the receiver is verified against, PEM. The function never rejects, and never tells the URL. */
export function createPost(url: string, ca: readonly string[]): Post {
  let agent: Promise<Agent> | null = null;
  const stop = new AbortController();
  const post = async (body: string, headers: Readonly<Record<string, string>>): Promise<Posted> => {
    try {
      agent ??= makeAgent(ca);
      const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(ANSWER_MS)]);
      const dispatcher = await agent;
      const { pathname, search, origin } = new URL(url);
      const path = `${pathname}${search}`;
      const answer = await dispatcher.request({ origin, path, method: 'POST', headers, body, signal });
      await answer.body.dump({ limit: MAX_ANSWER_BYTES, signal }).catch(() => {});
      return verdictOf(answer.statusCode);
    } catch {
      return 'later'; // not reached, not verified, or too slow
    }
  };
  const close = async (): Promise<void> => {
    stop.abort();
    await agent?.then((made) => made.destroy()).catch(() => {});
  };
  return Object.assign(post, { close });
}

/** Loaded at the first need: most installations have no webhook. */
async function makeAgent(ca: readonly string[]): Promise<Agent> {
  const { Agent } = await import('undici');
  return new Agent({
    connect: { ca: [...ca], rejectUnauthorized: true, timeout: CONNECT_MS },
    connections: 1,
    headersTimeout: ANSWER_MS,
    bodyTimeout: ANSWER_MS,
    maxHeaderSize: MAX_HEADER_BYTES,
    allowH2: false,
  });
}

/** A redirect is as good as a wrong URL: what is told here is for the receiver that the operator wrote down. */
function verdictOf(status: number): Posted {
  if (status >= 200 && status < 300) return 'ok';
  return status >= 500 || status === 408 || status === 425 || status === 429 ? 'later' : 'never';
}
