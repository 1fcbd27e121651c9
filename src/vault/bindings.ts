/**
 * Gives every identity its placeholders and tells `secrets/substitute.ts` what they stand for. A placeholder
 * is an HMAC over identity, group and variable, so it survives restarts and rotations without being stored;
 * only its shape is remembered. Made by `proxy.ts`, asked for every request.
 */
import { createHmac } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Identity } from '../flow/identity.ts';
import { matchesHost } from '../policy/host-pattern.ts';
import type { CompiledGroup, PlaceholderAlphabet, SecretSpec } from '../policy/model.ts';
import type { Binding, IdentityBindings } from '../secrets/binding.ts';
import { ALPHABETS, DEFAULT_SHAPE, makePlaceholder, type Shape, shapeOf } from '../secrets/placeholder.ts';
import { indexPlaceholders, joinIndexes } from '../secrets/placeholder-index.ts';
import type { Epochs } from './epochs.ts';
import type { Keyring } from './keyring.ts';
import { openKnown } from './known.ts';
import { openShapes, type Shapes } from './shapes.ts';

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
/** Placeholders kept, so that a reload need not make them all again. */
const MAX_MADE = 40_000;

/** Of an installation token of GitHub, which never was seen. */
const INSTALLATION_SHAPE: Shape = { prefix: 'ghs_', length: 40, alphabet: ALPHABETS.base62 };
const MAX_MINTED_LENGTH = 128;

export type BindingsOptions = {
  readonly keyring: Keyring;
  /** 32 bytes of this installation */
  readonly placeholderKey: Buffer;
  /** where shapes are remembered; created when needed */
  readonly shapesFile: string;
  /** how often the placeholders of each group were renewed */
  readonly epochs: Epochs;
};

export function createBindings(opts: BindingsOptions): Bindings {
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

type Maker = {
  binding(id: string, group: CompiledGroup, spec: SecretSpec): Binding;
  /**
   * All that may stand in a head for this identity, and what it may have been given before a key was excluded: that is
   * refused like another's, also where it is too short for a marker. A PEM cannot, and making one takes a tenth of a second,
   * so only its holder's `binding` does.
   */
  searchable(id: string, group: CompiledGroup): readonly string[];
};

function createMaker({ keyring, placeholderKey, shapesFile, epochs }: BindingsOptions): Maker {
  const shapes = openShapes(shapesFile);

  const memo = new LRUCache<string, string>({ max: MAX_MADE });
  const make = (shape: Shape, ...about: readonly string[]): string => {
    const key = JSON.stringify([about, shape]);
    const before = memo.get(key);
    if (before !== undefined) return before;
    const made = makePlaceholder(
      createHmac('sha256', placeholderKey).update(about.join('\0')).digest(),
      shape,
    );
    memo.set(key, made);
    return made;
  };

  const epochOf = ({ name }: CompiledGroup): readonly string[] => {
    const epoch = epochs.of(name);
    return epoch === 0 ? [] : [`epoch ${epoch}`];
  };

  const placeholders = (id: string, group: CompiledGroup, spec: SecretSpec): readonly string[] => {
    const shape = shapeFor(shapes, keyring, spec);
    const about = [id, group.name, spec.env, ...epochOf(group)];
    const made = shape === null ? [] : [make(shape, ...about)];
    if (spec.placeholder !== undefined) return made;
    // A sandbox may have started before the key's value was there: what it was given then stays valid. It
    // is made from a seed of its own, else the one would stand inside the other.
    return [...made, make(DEFAULT_SHAPE, ...about, 'early')];
  };

  return {
    binding: (id, group, spec) => {
      const [placeholder = '', ...aliases] =
        spec.placeholder === 'pem'
          ? [shapes.pem(JSON.stringify([id, group.name, spec.env, ...epochOf(group)]))]
          : placeholders(id, group, spec);
      return {
        env: spec.env,
        placeholder,
        aliases,
        spec,
        allows: (at) => spec.hosts.some((pattern) => matchesHost(pattern, at)),
        value: () => keyring.current(spec.from),
        peek: () => keyring.peek(spec.from),
        former: () => keyring.former(spec.from),
      };
    },
    searchable: (id, group) =>
      [...group.secrets, ...(group.hidden ?? [])]
        .filter((spec) => spec.placeholder !== 'pem')
        .flatMap((spec) => placeholders(id, group, spec)),
  };
}

function groupsOf(holder: Holder, all: readonly CompiledGroup[]): readonly CompiledGroup[] {
  const name = typeof holder === 'string' ? nameOfGroup(holder) : holder.group;
  return name === null ? all : all.filter((group) => group.name === name);
}

function nameOfGroup(id: string): string | null {
  return id.startsWith('group:') ? id.slice('group:'.length) : null;
}

/**
 * By hand, remembered, or taken from the value and remembered; `null` while a value was never seen: the
 * first real one decides.
 */
function shapeFor(shapes: Shapes, keyring: Keyring, spec: SecretSpec): Shape | null {
  if (spec.placeholder !== undefined && spec.placeholder !== 'pem') {
    const { prefix, length, alphabet, bits } = spec.placeholder;
    const shape = { prefix, length, alphabet: ALPHABET_OF[alphabet] };
    return bits === undefined ? shape : { ...shape, bits };
  }
  // Tokens of one app differ in length and form; those who look at one look at its beginning.
  if (spec.from.mint?.kind === 'github_app') return INSTALLATION_SHAPE;
  const key = `${spec.profile}/${spec.env}`;
  const before = shapes.get(key);
  if (before !== null) return before;
  const value = keyring.peek(spec.from);
  if (value === null) return null;
  const shape = shapeOf(value.expose().toString('latin1'));
  return shapes.put(key, spec.from.mint === undefined ? shape : shortened(shape));
}

/** Minted values may be tickets of a thousand characters, another length each time: no client counts those. */
function shortened({ prefix, length, alphabet, fixed }: Shape): Shape {
  if (length <= MAX_MINTED_LENGTH)
    return { prefix, length, alphabet, ...(fixed === undefined ? {} : { fixed }) };
  return { prefix, length: MAX_MINTED_LENGTH, alphabet };
}

const ALPHABET_OF: Readonly<Record<PlaceholderAlphabet, string>> = {
  hex: ALPHABETS.hex,
  base62: ALPHABETS.base62,
  // `+` and `/` change their meaning in URLs; text without them is base64 just as well.
  base64: ALPHABETS.base62,
  base64url: ALPHABETS.base64url,
  base32: ALPHABETS.base32,
  lower: ALPHABETS.lower,
  upper: ALPHABETS.upper,
  digits: ALPHABETS.digits,
};
