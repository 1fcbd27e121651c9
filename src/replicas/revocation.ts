/** The shape of what replicas tell of a revoked token. */
import { z } from 'zod';

/** As the token file has them: one that it cannot read would make all tokens invalid. */
const instant = z.iso.datetime();

const revocation = z.strictObject({
  at: instant,
  by: z.string().max(128).nullable(),
  replica: z.string().max(255),
  /** of the token; null: it would have been good for ever */
  expires: instant.nullable(),
});

export type Revocation = Readonly<z.infer<typeof revocation>>;

/** null: not one of ours. */
export function parseRevocation(value: unknown): Revocation | null {
  return revocation.safeParse(value).data ?? null;
}
