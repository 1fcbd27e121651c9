/**
 * What the commands do to an opened vault, as functions from one content to the next; `sealed.ts` reads and
 * writes the file around them. A value is unsealed for the moment of its use and wiped.
 */
import type { RevokedDigest } from '../secrets/revoked.ts';
import type { SecretValue } from '../secrets/value.ts';
import { openEntry, revokedValue, sealEntry, type VaultContent } from './document.ts';
import { MAX_ENTRIES, NAME, type VaultEntry } from './schema.ts';
import { hmac, sameBytes, type VaultKeys } from './seal.ts';
import { MAX_VALUE_BYTES, SecretSourceError, valueFrom } from './source.ts';

/** An opened vault and what opens its values. */
export type State = { readonly content: VaultContent; readonly keys: VaultKeys };
export type PutOutcome = 'created' | 'replaced' | 'unchanged';

/** The content to write, or `null` to leave the file alone, and what the caller is told. */
export type Change<T> = { readonly content: VaultContent | null; readonly result: T };

function entryOf(content: VaultContent, name: string): VaultEntry | undefined {
  return content.entries.find((entry) => entry.name === name);
}

export function readValue(state: State | null, name: string): SecretValue {
  const entry = state === null ? undefined : entryOf(state.content, name);
  if (state === null || entry === undefined) throw missing(name);
  return valueFrom(`vault:${name}`, openEntry(state.content.id, state.keys, entry));
}

function missing(name: string): SecretSourceError {
  return new SecretSourceError('not_found', `the vault holds no ${name}`);
}

export type PutAsk = { name: string; value: Buffer; at: string; group?: string; mustExist: boolean };

/** Throws `bad_name`, `empty`, `too_large`, `full` or, where the entry must exist, `not_found`. */
export function putEntry(state: State, ask: PutAsk): Change<PutOutcome> {
  const { name, value, at } = ask;
  const { content, keys } = state;
  checkPut(content, ask);
  const before = entryOf(content, name);
  if (before === undefined && ask.mustExist) throw missing(name);
  const group = ask.group ?? before?.group ?? null;
  const old = before === undefined ? null : openEntry(content.id, keys, before);
  if (before !== undefined && old !== null && sameBytes(old, value) && group === before.group) {
    return { content: null, result: 'unchanged' };
  }
  const facts = {
    name,
    version: (before?.version ?? 0) + 1,
    group,
    created: before?.created ?? at,
    rotated: before === undefined ? null : at,
  };
  const entry = sealEntry({ id: content.id, keys, facts, value });
  const others = content.entries.filter((one) => one.name !== name);
  const revoked = revokedAfter(content, { gone: old, valid: value });
  old?.fill(0);
  const entries = [...others, entry].sort((a, b) => (a.name < b.name ? -1 : 1));
  return { content: { ...content, entries, revoked }, result: before === undefined ? 'created' : 'replaced' };
}

/** All of them, one after the other; what one throws, all throw. */
export function putEntries(state: State, asks: readonly PutAsk[]): Change<readonly PutOutcome[]> {
  let { content } = state;
  const outcomes = asks.map((ask) => {
    const change = putEntry({ ...state, content }, ask);
    content = change.content ?? content;
    return change.result;
  });
  return { content: content === state.content ? null : content, result: outcomes };
}

function checkPut(content: VaultContent, { name, value, group }: PutAsk): void {
  if (!NAME.test(name) || (group !== undefined && !NAME.test(group))) {
    throw new SecretSourceError('bad_name', 'a name is made of letters, digits, and . _ - / (at most 128)');
  }
  if (value.length === 0) throw new SecretSourceError('empty', `the value for ${name} is empty`);
  if (value.length > MAX_VALUE_BYTES) {
    throw new SecretSourceError('too_large', `the value for ${name} is longer than ${MAX_VALUE_BYTES} bytes`);
  }
  if (content.entries.length >= MAX_ENTRIES && entryOf(content, name) === undefined) {
    throw new SecretSourceError('full', `the vault holds ${MAX_ENTRIES} values already`);
  }
}

export function removeEntry(state: State, name: string): Change<undefined> {
  const { content, keys } = state;
  const entry = entryOf(content, name);
  if (entry === undefined) throw missing(name);
  const gone = openEntry(content.id, keys, entry);
  const revoked = revokedAfter(content, { gone, valid: null });
  gone.fill(0);
  const entries = content.entries.filter((one) => one !== entry);
  return { content: { ...content, entries, revoked }, result: undefined };
}

/** A value stands in the list once, and not while it is in use. */
function revokedAfter(
  content: VaultContent,
  change: { gone: Buffer | null; valid: Buffer | null },
): VaultContent['revoked'] {
  const { revoked } = content;
  const [gone, valid] = [change.gone, change.valid].map((value) => value && revokedValue(revoked, value));
  const kept = revoked.values.filter((one) => one.digest !== gone?.digest && one.digest !== valid?.digest);
  const added = gone && gone.digest !== valid?.digest ? [gone] : [];
  return { ...revoked, values: [...kept, ...added] };
}

export function revokedDigests(state: State | null): readonly RevokedDigest[] {
  if (state === null) return [];
  const { key, values } = state.content.revoked;
  const secret = Buffer.from(key, 'base64url');
  return values.map(({ length, tail, digest }) => {
    const expected = Buffer.from(digest, 'base64url');
    return { length, tail, matches: (candidate) => sameBytes(hmac(secret, candidate), expected) };
  });
}

/** The same entry under other keys. */
export function resealed(state: State, entry: VaultEntry, keys: VaultKeys): VaultEntry {
  const value = openEntry(state.content.id, state.keys, entry);
  const { nonce: _nonce, sealed: _sealed, ...facts } = entry;
  try {
    return sealEntry({ id: state.content.id, keys, facts, value });
  } finally {
    value.fill(0);
  }
}
