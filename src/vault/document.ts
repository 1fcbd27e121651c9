/**
 * Text of `vault.json` to its content and back. Every byte of the file is accounted for: the text must be
 * exactly what would be written for its content, and the MAC covers names, versions, order and counter, so
 * a changed, removed, added or replayed entry is noticed. Pure but for the random nonces; used by `store.ts`.
 */
import { tailSum } from '../secrets/revoked.ts';
import { type RevokedList, revokedSchema, type VaultEntry, type VaultFile, vaultSchema } from './schema.ts';
import { hmac, openSealed, sameBytes, sealBytes, type VaultKeys } from './seal.ts';
import { SecretSourceError } from './source.ts';

/** An opened vault. Values stay sealed until one is asked for. */
export type VaultContent = {
  readonly id: string;
  readonly kdf: VaultFile['kdf'];
  readonly counter: number;
  readonly entries: readonly VaultEntry[];
  readonly revoked: RevokedList;
};

/** Revoked values remembered; the oldest go first. */
const MAX_REVOKED = 4096;
const CURE =
  'put back the newest backup of the state folder; without one, move vault.json and vault-seen.json away and set the keys again';

/** Checks the form only: nothing in the result is authentic before `openDocument`. */
export function parseDocument(text: string): VaultFile {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new SecretSourceError('damaged', `vault.json is not JSON; ${CURE}`, { cause });
  }
  const parsed = vaultSchema.safeParse(json);
  if (!parsed.success || print(parsed.data) !== text) {
    throw new SecretSourceError('damaged', `vault.json is not in the form that this program writes; ${CURE}`);
  }
  return parsed.data;
}

/** Throws `wrong_key` or `damaged`. */
export function openDocument(file: VaultFile, keys: VaultKeys): VaultContent {
  if (file.check !== keys.check) {
    throw new SecretSourceError('wrong_key', 'the key does not open this vault');
  }
  const { mac, ...rest } = file;
  if (!sameBytes(Buffer.from(mac), Buffer.from(macText(rest, keys)))) {
    throw new SecretSourceError(
      'damaged',
      `vault.json was changed by something else than this program; ${CURE}`,
    );
  }
  const list = openSealed(keys.seal, ['revoked', file.id], file.revoked);
  const revoked = revokedSchema.parse(JSON.parse(list.toString('utf8')));
  return { id: file.id, kdf: file.kdf, counter: file.counter, entries: file.entries, revoked };
}

export function printDocument(content: VaultContent, keys: VaultKeys): string {
  const list = { ...content.revoked, values: content.revoked.values.slice(-MAX_REVOKED) };
  const rest: Omit<VaultFile, 'mac'> = {
    format: 'sallyport-vault',
    version: 1,
    id: content.id,
    kdf: content.kdf,
    check: keys.check,
    counter: content.counter,
    entries: [...content.entries],
    revoked: sealBytes(keys.seal, ['revoked', content.id], Buffer.from(JSON.stringify(list), 'utf8')),
  };
  return print({ ...rest, mac: macText(rest, keys) });
}

/** What an entry says of itself beside its value. */
export type EntryFacts = Omit<VaultEntry, 'nonce' | 'sealed'>;

export function sealEntry(ask: {
  id: string;
  keys: VaultKeys;
  facts: EntryFacts;
  value: Buffer;
}): VaultEntry {
  return { ...ask.facts, ...sealBytes(ask.keys.seal, aboutEntry(ask.id, ask.facts), ask.value) };
}

export function openEntry(id: string, keys: VaultKeys, entry: VaultEntry): Buffer {
  return openSealed(keys.seal, aboutEntry(id, entry), entry);
}

function aboutEntry(id: string, facts: EntryFacts): readonly unknown[] {
  return ['entry', id, facts.name, facts.version, facts.group, facts.created, facts.rotated];
}

/** The digest under which a value is remembered when it is no longer valid. */
export function revokedValue(list: RevokedList, value: Buffer): RevokedList['values'][number] {
  const digest = hmac(Buffer.from(list.key, 'base64url'), value).toString('base64url');
  return { length: value.length, tail: tailSum(value), digest };
}

function macText(rest: Omit<VaultFile, 'mac'>, keys: VaultKeys): string {
  return hmac(keys.mac, JSON.stringify(rest)).toString('base64url');
}

function print(file: VaultFile): string {
  return `${JSON.stringify(file, null, 2)}\n`;
}
