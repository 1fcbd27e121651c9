/**
 * Which of an identity's keys are bound to one host, and what must not come back from there. Kept for each identity and
 * host, since every request asks: hosts without keys cost one look-up. Made by `front.ts`, asked by `intercept/`.
 */
import type { Authority, Host } from '../flow/target.ts';
import type { Binding, IdentityBindings } from './binding.ts';
import { type KeySet, keySetsOf } from './key-set.ts';
import type { LeakIndex } from './leaks.ts';
import { placeholderPatterns } from './part-swap.ts';
import { PatternSet } from './patterns.ts';
import { type ScrubSet, type ScrubTag, scrubPatterns } from './scrub.ts';
import type { SecretValue } from './value.ts';

/** Hosts whose keys are kept ready for each identity. */
const MAX_HOSTS = 1024;
/** Ports of a host: a sandbox can name them all. */
const MAX_PORTS = 8;

export class HostKeys {
  /** may a placeholder stand in a request's body */
  readonly inBody: boolean;
  /** AWS key sets: requests are signed again with them */
  readonly sets: readonly KeySet[];
  /** No key is sent here as it is, only ids and tokens that are worth nothing without their secret. */
  readonly onlySets: boolean;
  readonly #bindings: readonly Binding[];
  readonly #identity: IdentityBindings;
  /** as the values of the set were compared last; it is made anew whenever some value changes */
  #leaks: LeakIndex | null = null;
  #values: readonly (SecretValue | null)[] = [];
  #set: ScrubSet = new PatternSet<ScrubTag>([]);
  #placeholders: PatternSet<string> | null = null;

  /** `bindings`: those of the identity that are bound to the host */
  constructor(bindings: readonly Binding[], identity: IdentityBindings) {
    this.#bindings = bindings;
    this.#identity = identity;
    this.sets = keySetsOf(bindings);
    this.onlySets = bindings.every(({ spec }) => spec.aws !== undefined);
    this.inBody = bindings.some(({ spec }) => spec.places.some(({ kind }) => kind === 'body'));
  }

  /** All of the identity's, for whichever host: what a request's body is searched for. */
  placeholders(): PatternSet<string> {
    this.#placeholders ??= placeholderPatterns(this.#identity.bindings);
    return this.#placeholders;
  }

  /** The values of now and those before them: an upstream may still have one when a key was rotated. */
  scrubSet(): ScrubSet {
    const { leaks } = this.#identity;
    if (leaks === this.#leaks) return this.#set;
    this.#leaks = leaks;
    const values = this.#bindings.flatMap(({ peek, former }) => [peek(), ...former()]);
    if (sameItems(values, this.#values)) return this.#set;
    this.#values = values;
    // Streams ask for the set at each piece, so nobody looks for anything by this one again.
    this.#set.wipe();
    this.#set = new PatternSet(
      this.#bindings.flatMap(({ env, placeholder, spec, peek, former }) =>
        [...former(), peek()].flatMap((value) =>
          value === null ? [] : scrubPatterns({ env, placeholder, value, spaced: spec.aws !== undefined }),
        ),
      ),
    );
    return this.#set;
  }
}

function sameItems(one: readonly unknown[], other: readonly unknown[]): boolean {
  return one.length === other.length && one.every((item, at) => item === other[at]);
}

type OfPort = { readonly port: number; readonly keys: HostKeys | null };

export class HostKeyIndex {
  readonly #of = new WeakMap<IdentityBindings, Map<Host, OfPort[]>>();

  /** Null: no key of this identity is bound to the host. */
  at(identity: IdentityBindings, at: Authority): HostKeys | null {
    if (identity.bindings.length === 0) return null;
    let hosts = this.#of.get(identity);
    if (hosts === undefined) {
      hosts = new Map();
      this.#of.set(identity, hosts);
    }
    // By the host alone: its string is at hand with its hash, one with the port would be made for each request.
    const ports = hosts.get(at.host) ?? [];
    for (const one of ports) if (one.port === at.port) return one.keys;
    const bound = identity.bindings.filter(({ allows }) => allows(at));
    const keys = bound.length === 0 ? null : new HostKeys(bound, identity);
    if (hosts.size >= MAX_HOSTS) hosts.clear();
    if (ports.length >= MAX_PORTS) ports.length = 0;
    ports.push({ port: at.port, keys });
    hosts.set(at.host, ports);
    return keys;
  }
}
