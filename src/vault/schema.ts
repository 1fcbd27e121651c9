/** The vault file's form. It is checked before anything of the file is believed, the MAC included. */
import { z } from 'zod';
import { MAX_KDF_BYTES } from './seal.ts';

/** Entries in one vault. */
export const MAX_ENTRIES = 4096;

export const NAME = /^[A-Za-z0-9_][A-Za-z0-9_./-]{0,127}$/;

const base64url = z.string().regex(/^[A-Za-z0-9_-]*$/);
const counter = z.int().min(1);
const moment = z.iso.datetime();

const keyFile = z.strictObject({ kind: z.literal('key-file') });
const environment = z.strictObject({ kind: z.literal('environment') });
const scrypt = z
  .strictObject({
    kind: z.literal('scrypt'),
    n: z.int().min(32_768).max(1_048_576),
    r: z.int().min(8).max(32),
    p: z.int().min(1).max(16),
    salt: base64url.min(22).max(86),
  })
  .refine(({ n, r }) => (n & (n - 1)) === 0 && 128 * n * r <= MAX_KDF_BYTES);
/** The smallest parameters are those that OWASP still advises. */
const argon2id = z.strictObject({
  kind: z.literal('argon2id'),
  memory: z
    .int()
    .min(19_456)
    .max(MAX_KDF_BYTES / 1024),
  passes: z.int().min(2).max(16),
  lanes: z.int().min(1).max(16),
  salt: base64url.min(22).max(86),
});

const entry = z.strictObject({
  name: z.string().regex(NAME),
  /** 1 at first, one more with every new value */
  version: counter,
  /** what belongs together, as the parts of one AWS key do */
  group: z.string().regex(NAME).nullable(),
  created: moment,
  rotated: moment.nullable(),
  nonce: base64url.length(16),
  sealed: base64url,
});

export const vaultSchema = z.strictObject({
  format: z.literal('sallyport-vault'),
  version: z.literal(1),
  id: base64url.length(22),
  kdf: z.union([keyFile, environment, argon2id, scrypt]),
  check: base64url.length(16),
  /** one more with every write */
  counter,
  entries: z.array(entry).max(MAX_ENTRIES),
  revoked: z.strictObject({ nonce: base64url.length(16), sealed: base64url }),
  mac: base64url.length(43),
});

const digest = z.strictObject({ length: counter, tail: z.int().min(0), digest: base64url.length(43) });

/** What `revoked` holds when opened. */
export const revokedSchema = z.strictObject({ key: base64url.length(43), values: z.array(digest) });

/** What `remembered.ts` keeps of the values of other sources. */
export const rememberedSchema = z.strictObject({
  version: z.literal(1),
  lasting: z.array(digest),
  minted: z.array(digest),
});

export type VaultFile = z.infer<typeof vaultSchema>;
export type VaultEntry = VaultFile['entries'][number];
export type RevokedList = z.infer<typeof revokedSchema>;
