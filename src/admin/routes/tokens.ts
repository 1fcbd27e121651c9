/** The tokens of sandboxes. Running workers follow a change within a second. */
import { z } from 'zod';
import type { TokenRecord } from '../../identify/token.ts';
import { TokenStoreError } from '../../identify/token-file.ts';
import { DURATION, durationMs } from '../../policy/units.ts';
import { recordAction } from '../acted.ts';
import { type Reply, type Route, refused, route } from '../route.ts';
import { json, list, ok, orNull, problem, ref, shape, text, time } from '../schema.ts';

const FACE = { id: text, group: text, name: text, created: time, expires: orNull(time) } as const;

export const TOKEN_SCHEMAS = {
  Token: shape({ ...FACE, last_used: orNull(time), revoked: orNull(time) }),
  NewToken: shape({ id: text, group: text, name: text, token: text, expires: orNull(time) }),
} as const;

export const TOKEN_ROUTES: readonly Route[] = [
  route({
    method: 'GET',
    path: '/api/v1/tokens',
    role: 'viewer',
    summary: 'All tokens, revoked and expired ones too, without their secrets',
    answers: ok(shape({ tokens: list(ref('Token')) })),
    run: ({ tokens }) => {
      tokens.reload();
      return { json: { tokens: tokens.list().map(viewOf) } };
    },
  }),
  route({
    method: 'POST',
    path: '/api/v1/tokens',
    role: 'admin',
    summary: 'A new token, which is shown in this answer and never again',
    body: z.strictObject({
      group: z.string().min(1).max(128),
      name: z.string().max(128).optional(),
      expires: z.string().regex(DURATION).optional().meta({ description: 'Life time, for example 30d.' }),
    }),
    answers: {
      '201': json('Made.', ref('NewToken')),
      '422': problem('There is no such group, or no room.'),
    },
    run: async (deps, ask) => {
      const { group, name, expires } = ask.body;
      const groups = await deps.control.groups();
      if (!groups.some((one) => one.group === group)) {
        return refused(422, 'group_unknown', 'The policy in force has no such group.');
      }
      const more = {
        ...(name === undefined ? {} : { name }),
        ...(expires === undefined ? {} : { expiresMs: durationMs(expires) }),
      };
      return guarded(() => {
        const { record, token } = deps.tokens.create({ group, ...more });
        recordAction(deps, ask, { action: 'token.create', group, subject: record.id });
        return {
          status: 201,
          json: { id: record.id, group, name: record.name, token, expires: record.expires },
        };
      });
    },
  }),
  route({
    method: 'DELETE',
    path: '/api/v1/tokens/{id}',
    role: 'admin',
    summary: 'Ends a token for good; what it has open is cut within 5 s',
    answers: { ...ok(shape({ id: text, revoked: time })), '404': problem('There is no such token.') },
    run: (deps, ask) =>
      guarded(() => {
        const { id = '' } = ask.params;
        const found = deps.tokens.revoke(id, ask.who.name);
        const record = deps.tokens.list().find((token) => token.id === id);
        if (!found || record === undefined) {
          return refused(404, 'token_unknown', 'No token has this id.');
        }
        recordAction(deps, ask, { action: 'token.revoke', group: record.group, subject: id });
        return { json: { id, revoked: record.revoked } };
      }),
  }),
];

/** Contract section 11; the hash stays in the store. */
function viewOf({ id, group, name, created, expires, lastUsed, revoked }: TokenRecord): object {
  return { id, group, name, created, expires, last_used: lastUsed, revoked };
}

function guarded(work: () => Reply): Reply {
  try {
    return work();
  } catch (error) {
    if (error instanceof TokenStoreError) return refused(422, `token_${error.code}`, error.message);
    throw error;
  }
}
