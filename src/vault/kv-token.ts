/**
 * The token that `kv.ts` asks with: the operator's own, or one of an AppRole login. Renewed when two thirds of its
 * lease are over, so that a role whose secret id serves once never has to log in again; logged in anew where renewal
 * ends (its longest life is reached) and where the server does not know the token any more.
 */
import { authAnswer, lookupAnswer } from './kv-answers.ts';
import { type Env, type KvLogin, type KvServer, loginFrom } from './kv-config.ts';
import type { KvAsk, KvHttp } from './kv-http.ts';
import { SecretSourceError } from './source.ts';

export type KvTokens = {
  /** The token now; logs in where there is none. Throws SecretSourceError. */
  current(server: KvServer): Promise<string>;
  /** The server refused a question with this token: is there another one now? False: the token is good. */
  renewed(server: KvServer, token: string): Promise<boolean>;
  close(): void;
};

const RENEW_AFTER = 2 / 3;
const ASK_LIMIT_MS = 10_000;
/** Between two tries to renew, `ms`. */
const MIN_RENEW_MS = 500;
/** Node's timers end below 25 days. */
const MAX_RENEW_MS = 86_400_000;

type Held = {
  readonly token: string;
  readonly server: KvServer;
  /** what it was got with: another one ends its use */
  readonly login: string;
  readonly kind: KvLogin['kind'];
};

type KvTokenOptions = {
  readonly env: Env;
  readonly http: KvHttp;
  readonly onProblem: (message: string) => void;
};

export function createKvTokens(opts: KvTokenOptions): KvTokens {
  const tokens = new Tokens(opts);
  return {
    current: (server) => tokens.current(server),
    renewed: (server, token) => tokens.renewed(server, token),
    close: () => tokens.close(),
  };
}

class Tokens {
  readonly #opts: KvTokenOptions;
  readonly #closing = new AbortController();
  #held: Held | null = null;
  #flight: Promise<string> | null = null;
  #timer: NodeJS.Timeout | undefined;

  constructor(opts: KvTokenOptions) {
    this.#opts = opts;
  }

  /** One login for all paths that are fetched at once. */
  current(server: KvServer): Promise<string> {
    this.#flight ??= this.#logIn(server).finally(() => {
      this.#flight = null;
    });
    return this.#flight;
  }

  async renewed(server: KvServer, token: string): Promise<boolean> {
    if (this.#held !== null && this.#held.token !== token) return true;
    try {
      // A good token is kept: a secret id may serve for one login only.
      await this.#lookUp(server, token);
      return false;
    } catch (error) {
      if (!isRefused(error)) throw error;
    }
    if (this.#held?.token === token) this.#drop();
    return hasOther(this.#opts.env, token);
  }

  close(): void {
    this.#closing.abort();
    this.#drop();
  }

  #drop(): void {
    clearTimeout(this.#timer);
    this.#held = null;
  }

  async #logIn(server: KvServer): Promise<string> {
    const login = loginOr(this.#opts.env, this.#held);
    if (login === null) return this.#held?.token ?? '';
    const key = JSON.stringify([server.origin, server.namespace, login]);
    if (this.#held?.login === key) return this.#held.token;
    if (login.kind === 'token') {
      const now: Held = { token: login.token, server, login: key, kind: 'token' };
      this.#held = now;
      void this.#learnLease(now);
      return now.token;
    }
    const body = { role_id: login.roleId, secret_id: login.secretId };
    const answer = authAnswer.safeParse(
      await this.#ask({ server, method: 'POST', path: `/auth/${login.mount}/login`, token: null, body }),
    );
    if (!answer.success)
      throw new SecretSourceError('damaged', 'the answer to the login is not as documented');
    const { auth } = answer.data;
    const now: Held = { token: auth.client_token, server, login: key, kind: 'approle' };
    this.#held = now;
    this.#renewLater(now, auth.lease_duration, auth.renewable);
    return now.token;
  }

  /** How long an operator's token lives; one that may not ask about itself is used all the same. Never rejects. */
  async #learnLease(of: Held): Promise<void> {
    try {
      const { data } = lookupAnswer.parse(await this.#lookUp(of.server, of.token));
      if (this.#held === of) this.#renewLater(of, data.ttl, data.renewable);
    } catch {
      // The fetch that follows says what is wrong with server or token.
    }
  }

  /** `seconds`: of its lease; 0: without end, as a root token's. */
  #renewLater(of: Held, seconds: number, renewable: boolean): void {
    clearTimeout(this.#timer);
    if (this.#closing.signal.aborted || seconds === 0) return;
    if (!renewable) {
      if (of.kind === 'token') {
        this.#opts.onProblem(`kv: the token cannot be renewed and ends in ${seconds} s`);
      }
      return;
    }
    const inMs = Math.min(MAX_RENEW_MS, Math.max(MIN_RENEW_MS, seconds * 1000 * RENEW_AFTER));
    this.#timer = setTimeout(() => void this.#renew(of, seconds), inMs).unref();
  }

  /** Never rejects: a token that could not be renewed serves to its end. */
  async #renew(of: Held, seconds: number): Promise<void> {
    try {
      const path = '/auth/token/renew-self';
      const { server, token } = of;
      const { auth } = authAnswer.parse(await this.#ask({ server, method: 'POST', path, token, body: {} }));
      if (this.#held === of) this.#renewLater(of, auth.lease_duration, auth.renewable);
    } catch (error) {
      if (this.#closing.signal.aborted || this.#held !== of) return;
      const refused = isRefused(error);
      this.#opts.onProblem(`kv: the token was not renewed${refused ? ': the server refuses' : ''}`);
      if (!refused) this.#renewLater(of, seconds / 3, true);
    }
  }

  #lookUp(server: KvServer, token: string): Promise<unknown> {
    return this.#ask({ server, method: 'GET', path: '/auth/token/lookup-self', token });
  }

  #ask(ask: Omit<KvAsk, 'signal'>): Promise<unknown> {
    const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(ASK_LIMIT_MS)]);
    return this.#opts.http.ask({ ...ask, signal });
  }
}

function isRefused(error: unknown): boolean {
  return error instanceof SecretSourceError && error.code === 'denied';
}

/** Who logged in by a role need not find its secret id again while its token lives: null. */
function loginOr(env: Env, held: Held | null): KvLogin | null {
  try {
    return loginFrom(env);
  } catch (error) {
    if (held?.kind === 'approle') return null;
    throw error;
  }
}

/** Was the token file replaced meanwhile? */
function hasOther(env: Env, token: string): boolean {
  try {
    const login = loginFrom(env);
    return login.kind === 'approle' || login.token !== token;
  } catch {
    // No login at all: the next fetch says so.
    return false;
  }
}
