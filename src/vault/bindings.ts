/**
 * Gives every identity its placeholders and tells `secrets/substitute.ts` what they stand for, and which ones belong to
 * others. Made by `proxy.ts`, asked for every request; `placeholder-maker.ts` says what they look like.
 */
import { LRUCache } from 'lru-cache';
import type { Identity } from '../flow/identity.ts';
import type { CompiledGroup } from '../policy/model.ts';
import type { IdentityBindings } from '../secrets/binding.ts';
import { indexPlaceholders, joinIndexes } from '../secrets/placeholder-index.ts';
import { openKnown } from './known.ts';
import { createMaker, type MakerOptions } from './placeholder-maker.ts';

/** Who may hold placeholders: an id of the form `group:NAME` needs no group. */
type Holder = string | { readonly id: string; readonly group: string };

export type Bindings = {
  /** What this identity may use now. Cheap when asked again for the same group object. */
  forIdentity(identity: Pick<Identity, 'id'>, group: CompiledGroup): IdentityBindings;
  /**
   * Learns all identities, so that each one's placeholders are known as such to the others. To be called
   * when policies, keys or tokens change. `groups`: an array, or the policy set's map.
   */
  rebuild(groups: { values(): Iterable<CompiledGroup> }, holders: readonly Holder[]): void;
  /** To be called about once a second: placeholders that were renewed meanwhile are worth nothing from now on. */
  look(): void;
};

/** Identities whose bindings are kept ready, for each group. */
const MAX_CACHED = 4096;

export function createBindings(opts: MakerOptions): Bindings {
  const { keyring } = opts;
  const maker = createMaker(opts);
  const known = openKnown();
  const cached = new WeakMap<CompiledGroup, LRUCache<string, Cached>>();
  let last: readonly [readonly CompiledGroup[], readonly Holder[]] = [[], []];

  const make = (id: string, group: CompiledGroup): IdentityBindings => {
    const mine = maker.searchable(id, group);
    const enter = () => ({ era: known.era(), own: known.add(mine) ? null : indexPlaceholders(mine) });
    let entered = enter();
    return {
      bindings: group.secrets.map((spec) => maker.binding(id, group, spec)),
      // Read at each request: the indexes are replaced when keys rotate and identities come, and a
      // connection may hold this object meanwhile.
      get known() {
        if (entered.era !== known.era()) entered = enter();
        return entered.own === null ? known.index() : joinIndexes(entered.own, known.index());
      },
      get leaks() {
        return keyring.leaks();
      },
    };
  };

  const forIdentity: Bindings['forIdentity'] = ({ id }, group) => {
    const ofGroup = cached.get(group) ?? new LRUCache({ max: MAX_CACHED });
    cached.set(group, ofGroup);
    const before = ofGroup.get(id);
    if (before?.era === known.era()) return before.made;
    const made = make(id, group);
    ofGroup.set(id, { made, era: known.era() });
    return made;
  };

  const rebuild = (groups: readonly CompiledGroup[], holders: readonly Holder[]): void => {
    last = [groups, holders];
    known.clear();
    for (const holder of [...groups.map((group) => `group:${group.name}`), ...holders]) {
      const id = typeof holder === 'string' ? holder : holder.id;
      for (const group of groupsOf(holder, groups)) known.add(maker.searchable(id, group));
    }
  };
  // A value that came may give its key a shape at last; a rotated one changes nothing here.
  keyring.subscribe(() => rebuild(...last));

  return {
    forIdentity,
    rebuild: (groups, holders) => rebuild([...groups.values()], holders),
    look: () => {
      if (opts.epochs.look()) rebuild(...last);
    },
  };
}

type Cached = { readonly made: IdentityBindings; readonly era: number };

function groupsOf(holder: Holder, all: readonly CompiledGroup[]): readonly CompiledGroup[] {
  const name = typeof holder === 'string' ? nameOfGroup(holder) : holder.group;
  return name === null ? all : all.filter((group) => group.name === name);
}

function nameOfGroup(id: string): string | null {
  return id.startsWith('group:') ? id.slice('group:'.length) : null;
}
