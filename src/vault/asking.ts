/** All sources as one: what there is to ask for, and one answer to each question, whatever its source does. Used by `keyring.ts`. */
import { isPassing } from '../base/error-code.ts';
import type { SourceRef } from '../policy/model.ts';
import type { RevokedDigest } from '../secrets/revoked.ts';
import { MIN_SCRUBBED_BYTES } from '../secrets/scrub.ts';
import type { SecretValue } from '../secrets/value.ts';
import { withDeadline } from './deadline.ts';
import { idOf, type Ref } from './held.ts';
import { type SecretSource, SecretSourceError } from './source.ts';

const FETCH_MS = 10_000;
/** A cached source at the first load: its own limit comes first, and says more. */
const FIRST_FETCH_MS = 12_000;
/** Later ones: other keys must not wait, and it tells when it has the answer. */
const CACHED_FETCH_MS = 1_000;
/** Values held, those of the vault that no policy mentions included. */
const MAX_VALUES = 8192;

export type Outcome = { readonly value: SecretValue } | { readonly problem: string };

export class Asking {
  readonly sources: ReadonlyMap<string, SecretSource>;
  /** something could not be had that may be there in a moment, without a change that anybody would tell of */
  passing = false;
  readonly #onFetch: (source: string, outcome: 'ok' | 'error') => void;

  constructor(
    sources: Readonly<Record<string, SecretSource>>,
    onFetch: (source: string, outcome: 'ok' | 'error') => void,
  ) {
    this.sources = new Map(Object.entries(sources));
    this.#onFetch = onFetch;
  }

  isCached(kind: string): boolean {
    return this.sources.get(kind)?.cached !== undefined;
  }

  /** What policies name, and what else the sources hold: that must not leave a sandbox either. The others are told to forget. */
  async wanted(refs: readonly SourceRef[]): Promise<ReadonlyMap<string, Ref>> {
    const wanted = new Map<string, Ref>();
    for (const ref of refs) wanted.set(idOf(ref), ref);
    for (const source of this.sources.values()) {
      const names = await this.#quietly(source.names?.());
      for (const name of names ?? []) {
        const ref = { kind: source.kind, name };
        if (wanted.size < MAX_VALUES) wanted.set(idOf(ref), wanted.get(idOf(ref)) ?? ref);
      }
    }
    const all = [...wanted.values()];
    for (const source of this.sources.values()) {
      source.cached?.keep(all.flatMap(({ kind, name }) => (kind === source.kind ? [name] : [])));
    }
    return wanted;
  }

  async revoked(): Promise<readonly RevokedDigest[]> {
    const lists = await Promise.all(
      [...this.sources.values()].map((source) => this.#quietly(source.revoked?.())),
    );
    return lists.flatMap((list) => list ?? []);
  }

  /** Never rejects. `first`: nothing is held yet, so it may take its time. */
  async fetch(ref: Ref, first: boolean): Promise<Outcome> {
    const source = this.sources.get(ref.kind);
    if (source === undefined) return { problem: `there is no source of kind ${ref.kind}` };
    const counted = source.cached === undefined;
    const cachedMs = first ? FIRST_FETCH_MS : CACHED_FETCH_MS;
    try {
      const asked = source.get(ref.name);
      const value = await withDeadline(asked, idOf(ref), counted ? FETCH_MS : cachedMs);
      if (counted) this.#onFetch(ref.kind, 'ok');
      return { value };
    } catch (error) {
      if (counted) this.#onFetch(ref.kind, 'error');
      this.passing ||= isPassing(error);
      // Only our own messages are known to hold no value.
      return { problem: error instanceof SecretSourceError ? error.message : 'the source failed' };
    }
  }

  /** A source whose list cannot be had has already failed, or will, for each of its keys: that is told there. */
  async #quietly<T>(asked: Promise<T> | undefined): Promise<T | undefined> {
    try {
      return await asked;
    } catch (error) {
      this.passing ||= isPassing(error);
      return undefined;
    }
  }
}

/** What answers could not be searched for is never put into a request. Of the vault's values an operator insisted. */
export function longEnough(ref: Ref, outcome: Outcome): Outcome {
  if ('problem' in outcome || ref.kind === 'vault' || outcome.value.length >= MIN_SCRUBBED_BYTES)
    return outcome;
  outcome.value.zero();
  return {
    problem: `${idOf(ref)} is shorter than ${MIN_SCRUBBED_BYTES} bytes: a key like that cannot be taken out of answers`,
  };
}
