/**
 * What a route of the admin side is: method and path, who may call it, what it takes and answers, as data that the
 * server, OpenAPI and the tests read. `routes/` has one file per resource; `routes.ts` lists them.
 */
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import type { OperatorEvent } from '../audit/event.ts';
import type { Clock } from '../base/clock.ts';
import type { ControlPlane } from '../base/control.ts';
import type { Operator, Role } from '../base/operator.ts';
import type { TokenStore } from '../identify/token.ts';
import type { Metrics } from '../metrics/metrics.ts';
import type { OperatorStore } from '../operators/store.ts';
import type { EventHub } from './events.ts';
import type { AdminProblem } from './problem.ts';

/** Metrics as text, of one process or of several. */
export type ShownMetrics = Pick<Metrics, 'render' | 'contentType'>;

/** What the routes work on. */
export type AdminDeps = {
  readonly control: ControlPlane;
  readonly metrics: ShownMetrics;
  readonly operators: OperatorStore;
  /** of sandboxes */
  readonly tokens: TokenStore;
  /** of all chains */
  readonly auditDir: string;
  readonly events: EventHub;
  /** how many run now */
  readonly searches: { running: number };
  /** takes what operators do into the audit trail */
  readonly record: (event: OperatorEvent) => void;
  readonly clock: Clock;
};

/** One request, with what was found out about it. */
export type Ask = {
  readonly who: Operator;
  /** address of the client */
  readonly client: string;
  readonly lastEventId: string | null;
  /** of the path, decoded */
  readonly params: Readonly<Record<string, string>>;
  readonly query: unknown;
  readonly body: unknown;
};

export type Reply =
  | { readonly json: unknown; readonly status?: number }
  | { readonly text: string; readonly type: string }
  | { readonly problem: AdminProblem; readonly headers?: Readonly<Record<string, string>> }
  /** takes the answer over */
  | { readonly stream: (reply: FastifyReply) => void };

export type Route = {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** with `{name}` for what varies */
  readonly path: string;
  /** null: needs no token */
  readonly role: Role | null;
  readonly summary: string;
  readonly body: z.ZodType | null;
  readonly query: z.ZodType | null;
  /** OpenAPI responses by status; those that every route may give are added */
  readonly answers: Readonly<Record<string, object>>;
  readonly run: (deps: AdminDeps, ask: Ask) => Promise<Reply> | Reply;
};

type Spec<B, Q> = Omit<Route, 'body' | 'query' | 'run'> & {
  readonly body?: z.ZodType<B>;
  readonly query?: z.ZodType<Q>;
  readonly run: (
    deps: AdminDeps,
    ask: Omit<Ask, 'body' | 'query'> & { readonly body: B; readonly query: Q },
  ) => Promise<Reply> | Reply;
};

/** A route whose body and query are judged before it runs: 400 says what is wrong with them. */
export function route<B = undefined, Q = undefined>(spec: Spec<B, Q>): Route {
  const { body = null, query = null, run } = spec;
  const bodySchema: z.ZodType = body ?? z.unknown();
  const querySchema: z.ZodType = query ?? z.unknown();
  return {
    ...spec,
    body,
    query,
    run: (deps, ask) => {
      const gotBody = bodySchema.safeParse(ask.body);
      if (!gotBody.success) return wrong('body', gotBody.error);
      const gotQuery = querySchema.safeParse(ask.query);
      if (!gotQuery.success) return wrong('query', gotQuery.error);
      // Both were judged by the schemas that the types are made of.
      return run(deps, { ...ask, body: gotBody.data as B, query: gotQuery.data as Q });
    },
  };
}

/** The answer to a call that is not done. `code`: for programs; `detail`: a sentence for people. */
export function refused(status: number, code: string, detail: string): Reply {
  return { problem: { status, code, detail } };
}

function wrong(what: string, error: z.ZodError): Reply {
  const [first] = error.issues;
  const at = first === undefined || first.path.length === 0 ? '' : `${first.path.join('.')}: `;
  const detail = `The ${what} is not as it should be: ${at}${first?.message ?? 'not valid'}.`;
  return { problem: { status: 400, code: 'bad_request', detail } };
}
