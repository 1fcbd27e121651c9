/** What token endpoints answer, as far as `mint-client.ts` and `mint-github.ts` read it. Further members are theirs to add. */
import { z } from 'zod';

/** RFC 6749 section 5.1; some servers write the number as text. */
export const tokenAnswer = z.object({
  access_token: z.string(),
  token_type: z.string(),
  expires_in: z.union([z.number(), z.string().regex(/^\d+$/).transform(Number)]).optional(),
});

/** Of a refusal (RFC 6749 section 5.2) the code alone: the rest is free text. */
export const refusalAnswer = z.object({ error: z.string() });

/** POST /app/installations/ID/access_tokens */
export const installationAnswer = z.object({ token: z.string(), expires_at: z.string() });
