/** Errors of the admin side as RFC 9457 problems. Not the sandbox's refusals: those are `wire/reply.ts`. */
import { STATUS_CODES } from 'node:http';
import type { FastifyReply } from 'fastify';

const PROBLEM_TYPE = 'application/problem+json; charset=utf-8';

export type AdminProblem = {
  readonly status: number;
  /** stable code, for scripts */
  readonly code: string;
  readonly detail: string;
  /** further members, for example `problems` */
  readonly more?: Readonly<Record<string, unknown>>;
};

export function problemBody(problem: AdminProblem): string {
  const { status, code, detail, more } = problem;
  const title = STATUS_CODES[status] ?? 'Error';
  return JSON.stringify({
    type: `urn:sallyport:admin:${code}`,
    title,
    status,
    detail,
    error: `sallyport: ${code}: ${detail}`,
    ...more,
  });
}

export function sendProblem(reply: FastifyReply, problem: AdminProblem): FastifyReply {
  return reply.code(problem.status).type(PROBLEM_TYPE).send(problemBody(problem));
}
