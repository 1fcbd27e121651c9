/** What is put in place of what in a text, in one left-to-right pass. Used by `substitute.ts`. */
import { type Denied, denied } from '../flow/reason.ts';
import type { Binding } from './binding.ts';
import type { Spot } from './head.ts';
import { renderValue } from './render.ts';

/** A placeholder that may be swapped where it stands. */
export type Place = {
  readonly start: number;
  readonly end: number;
  readonly binding: Binding;
  readonly spot: Spot;
  /** the name of its variable */
  readonly used: readonly string[];
};

/** One piece of the output: `text` in place of `start` to `end` of the input. */
export type Edit = {
  readonly start: number;
  readonly end: number;
  readonly text: string;
  readonly used: readonly string[];
};

export const NOTHING_USED: readonly string[] = [];
const UNAVAILABLE = denied('secret_unavailable', 'The key behind a placeholder is not available now.');

/** The key as it is now, written as its place asks for; `secret_unavailable`. */
export function fill({ start, end, binding, spot, used }: Place): Edit | Denied {
  const value = binding.value();
  const text = value === null ? null : renderValue(value, spot);
  return text === null ? UNAVAILABLE : { start, end, text, used };
}

/** The usual request swaps one key once. */
export function namesOf(edits: readonly Edit[]): readonly string[] {
  const [first, second] = edits;
  if (first === undefined) return NOTHING_USED;
  return second === undefined ? first.used : [...new Set(edits.flatMap((edit) => edit.used))];
}

/** In order, without every one that begins inside the one before it, as a placeholder inside a base64 text would. */
export function disjoint<T extends { readonly start: number; readonly end: number }>(
  edits: readonly T[],
): readonly T[] {
  if (edits.length < 2) return edits;
  let done = 0;
  return edits
    .toSorted((a, b) => a.start - b.start)
    .filter((edit) => {
      if (edit.start < done) return false;
      done = edit.end;
      return true;
    });
}

/** `edits`: disjoint. */
export function apply(text: string, edits: readonly Edit[]): string {
  let output = '';
  let done = 0;
  for (const edit of edits) {
    output += text.slice(done, edit.start) + edit.text;
    done = edit.end;
  }
  return output + text.slice(done);
}
