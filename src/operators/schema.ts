/** The shape of `operators.json`, read as strictly as the tokens of sandboxes: a broken file lets nobody in (`store.ts`). */
import { z } from 'zod';
import { ROLES } from '../base/operator.ts';

export const MAX_OPERATORS = 1_000;

/** Names stand in records beside `admin`, `cli:USER`, `file` and `signal`, and must not look like one of them. */
export const operatorName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,63}$/, { error: 'must be up to 64 of a-z, 0-9, ., _ and -' })
  .refine((name) => !['admin', 'file', 'signal', 'cli'].includes(name), { error: 'is taken' });

/** as records name whoever did it; those of before have none */
const by = z.string().max(128).optional();

const operator = z.strictObject({
  name: operatorName,
  role: z.enum(ROLES),
  /** SHA-256 of the token's secret */
  hash: z.string().regex(/^[0-9a-f]{64}$/),
  created: z.iso.datetime(),
  by,
  revoked: z.iso.datetime().nullable(),
  revokedBy: by,
});

const factor = z.strictObject({
  /** an operator's, or `admin` */
  name: operatorName.or(z.literal('admin')),
  secret: z.string().regex(/^[A-Z2-7]{32,64}$/),
  /** number of the last step whose code was used: none up to it is taken again */
  used: z.int().min(0),
  /** of two, the later one counts; a factor of before has none */
  enrolled: z.iso.datetime().optional(),
  by,
});

const operatorsFile = z
  .strictObject({
    version: z.literal(1),
    operators: z.array(operator).max(MAX_OPERATORS),
    factors: z.array(factor).max(MAX_OPERATORS),
  })
  .refine(({ operators, factors }) => [operators, factors].every(distinct), {
    error: 'a name stands in it twice',
  });

/** What replicas tell each other of one name, and which of them wrote it. */
const sharedOperator = z.strictObject({
  operator: operator.nullable(),
  factor: factor.nullable(),
  replica: z.string().max(255),
});

function distinct(list: readonly { readonly name: string }[]): boolean {
  return new Set(list.map(({ name }) => name)).size === list.length;
}

export type StoredOperator = Readonly<z.infer<typeof operator>>;
export type StoredFactor = Readonly<z.infer<typeof factor>>;
export type OperatorsFile = {
  readonly operators: readonly StoredOperator[];
  readonly factors: readonly StoredFactor[];
};

export type SharedOperatorEntry = Readonly<z.infer<typeof sharedOperator>>;

/** null: not one of ours. */
export function parseSharedOperator(value: unknown): SharedOperatorEntry | null {
  return sharedOperator.safeParse(value).data ?? null;
}

/** Throws an Error that says what is wrong and where, never a value. */
export function parseOperators(text: string): OperatorsFile {
  const parsed = operatorsFile.safeParse(JSON.parse(text));
  if (parsed.success) return parsed.data;
  const [first] = parsed.error.issues;
  throw new Error(`${first?.path.join('.') || 'file'}: ${first?.message ?? 'not valid'}`);
}
