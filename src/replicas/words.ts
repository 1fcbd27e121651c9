/** What each replica says of itself, and what this one makes of what all say. Pure but for the schema's library. */
import { z } from 'zod';
import type { ReplicasView, ReplicaView } from '../base/control.ts';

const MAX_NAME_CHARS = 255;
const MAX_HASH_CHARS = 128;
/** Workers have one policy; several only while they change it. */
const MAX_POLICIES = 16;

const line = (max: number): z.ZodString =>
  z
    .string()
    .max(max)
    .regex(/^[^\x00-\x1f\x7f]*$/);

const words = z.strictObject({
  name: line(MAX_NAME_CHARS),
  version: line(64),
  since: z.iso.datetime(),
  /** hashes in force, none: nothing could be loaded; null: it is only starting */
  policies: z.array(line(MAX_HASH_CHARS)).max(MAX_POLICIES).nullable(),
});

export type Words = Omit<Readonly<z.infer<typeof words>>, 'policies'> & {
  readonly policies: readonly string[] | null;
};

/** By the ids of those that are alive. What is not theirs does not count. */
export function parseSaid(said: ReadonlyMap<string, unknown>): ReadonlyMap<string, Words> {
  return new Map(
    [...said].flatMap(([id, value]) => {
      const parsed = words.safeParse(value);
      return parsed.success ? [[id, parsed.data] as const] : [];
    }),
  );
}

export function wordsOf(
  about: { name: string; version: string; since: string },
  policies: Words['policies'],
): Words {
  return {
    ...about,
    name: about.name.replaceAll(/[\x00-\x1f\x7f]/g, '').slice(0, MAX_NAME_CHARS),
    policies: policies?.slice(0, MAX_POLICIES) ?? null,
  };
}

export function viewOf(of: {
  readonly said: ReadonlyMap<string, Words>;
  readonly self: string;
  readonly connected: boolean;
  /** milliseconds since the epoch; null: never yet */
  readonly sharedAt: number | null;
}): ReplicasView {
  const { said, self, connected, sharedAt } = of;
  const seen = [...said].map(
    ([id, { name, version, since, policies }]): ReplicaView => ({
      id,
      name,
      self: id === self,
      version,
      since,
      policies: policies ?? [],
    }),
  );
  return {
    connected,
    shared: sharedAt === null ? null : new Date(sharedAt).toISOString(),
    policies: policiesOf(said.values()),
    seen: seen.sort((a, b) => a.name.localeCompare(b.name, 'en') || a.id.localeCompare(b.id, 'en')),
  };
}

/** How many different policies are in force; a replica that has none is one more. */
function policiesOf(said: Iterable<Words>): number {
  const hashes = new Set<string>();
  for (const { policies } of said) {
    if (policies?.length === 0) hashes.add('');
    for (const hash of policies ?? []) hashes.add(hash);
  }
  return hashes.size;
}
