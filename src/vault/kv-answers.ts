/** What Vault and OpenBao answer, as far as `kv.ts` and `kv-token.ts` read it. Further members are theirs to add. */
import { z } from 'zod';

/** KV version 2; a deleted or destroyed version has no data. */
export const secretAnswer = z.object({
  data: z.object({
    data: z.record(z.string(), z.unknown()).nullable(),
    metadata: z.object({ created_time: z.string().optional() }).optional(),
  }),
});

/** A login, and a renewal; the lease in seconds, 0: without end. */
export const authAnswer = z.object({
  auth: z.object({
    client_token: z.string().min(1),
    lease_duration: z.number().nonnegative(),
    renewable: z.boolean(),
  }),
});

/** What a token knows about itself. */
export const lookupAnswer = z.object({
  data: z.object({ ttl: z.number().nonnegative(), renewable: z.boolean() }),
});
