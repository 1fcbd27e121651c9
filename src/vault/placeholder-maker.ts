/**
 * Makes the placeholders of each identity: an HMAC over identity, group and variable, so that they survive restarts and
 * rotations without being stored. Only their shape is remembered, which the profile gives or the key has. Used by `bindings.ts`.
 */
import { createHmac } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { matchesHost } from '../policy/host-pattern.ts';
import type { CompiledGroup, PlaceholderAlphabet, SecretSpec } from '../policy/model.ts';
import type { Binding } from '../secrets/binding.ts';
import { ALPHABETS, DEFAULT_SHAPE, makePlaceholder, type Shape, shapeOf } from '../secrets/placeholder.ts';
import type { Epochs } from './epochs.ts';
import type { Keyring } from './keyring.ts';
import { openShapes, type Shapes } from './shapes.ts';

export type MakerOptions = {
  readonly keyring: Keyring;
  /** 32 bytes of this installation */
  readonly placeholderKey: Buffer;
  /** where shapes are remembered; created when needed */
  readonly shapesFile: string;
  /** how often the placeholders of each group were renewed */
  readonly epochs: Epochs;
};

/** Placeholders kept, so that a reload need not make them all again. */
const MAX_MADE = 40_000;

/** Of an installation token of GitHub, which never was seen. */
const INSTALLATION_SHAPE: Shape = { prefix: 'ghs_', length: 40, alphabet: ALPHABETS.base62 };
const MAX_MINTED_LENGTH = 128;

export type Maker = {
  /** One key as this identity may use it; its value is asked of the keyring each time. */
  binding(id: string, group: CompiledGroup, spec: SecretSpec): Binding;
  /**
   * All that may stand in a head for this identity, and what it may have been given before a key was excluded: that is
   * refused like another's, also where it is too short for a marker. A PEM cannot, and making one takes a tenth of a second,
   * so only its holder's `binding` does.
   */
  searchable(id: string, group: CompiledGroup): readonly string[];
};

export function createMaker({ keyring, placeholderKey, shapesFile, epochs }: MakerOptions): Maker {
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
