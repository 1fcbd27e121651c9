/**
 * Which group a client address belongs to: the groups' `identify.sources`, longest prefix first. Built with
 * every Snapshot; `identify/` looks addresses up at every connection and on every tick.
 */
import { LRUCache } from 'lru-cache';
import type { Cidr } from '../flow/verdict.ts';
import { canonicalAddress, inRanges, parseCidr } from './address-text.ts';

export type SourceTable = {
  /** the group whose `identify.sources` hold this client address by the longest prefix, or null */
  readonly lookup: (address: string) => string | null;
};

type Grouped = { readonly name: string; readonly sources: readonly Cidr[] };

/** Client addresses seen lately; the clients are few, but a spoofing network must not fill memory. */
const MAX_CACHED_ADDRESSES = 4096;

/**
 * Builds the table. Equal ranges of two groups are refused when policies load (`sourceOverlaps`); should
 * one get here all the same, neither group gets the address.
 */
export function buildSourceTable(groups: Iterable<Grouped>): SourceTable {
  const rows: { cidr: Cidr; bits: number; group: string | null }[] = [];
  const byCidr = new Map<Cidr, { cidr: Cidr; bits: number; group: string | null }>();
  for (const group of groups) {
    for (const text of group.sources) {
      const parsed = parseCidr(text);
      if (!('cidr' in parsed)) continue;
      const known = byCidr.get(parsed.cidr);
      if (known !== undefined) {
        if (known.group !== group.name) known.group = null;
        continue;
      }
      const row = { cidr: parsed.cidr, bits: parsed.bits, group: group.name };
      byCidr.set(parsed.cidr, row);
      rows.push(row);
    }
  }
  rows.sort((a, b) => b.bits - a.bits);
  const seen = new LRUCache<string, { group: string | null }>({ max: MAX_CACHED_ADDRESSES });
  return {
    lookup: (address) => {
      const known = seen.get(address);
      if (known !== undefined) return known.group;
      const canonical = canonicalAddress(address);
      const row = canonical === null ? undefined : rows.find(({ cidr }) => inRanges(canonical, [cidr]));
      const group = row?.group ?? null;
      seen.set(address, { group });
      return group;
    },
  };
}

/** Ranges that two groups claim alike: `[cidr, first group, second group]` each. */
export function sourceOverlaps(groups: Iterable<Grouped>): readonly (readonly [Cidr, string, string])[] {
  const owner = new Map<Cidr, string>();
  const found: (readonly [Cidr, string, string])[] = [];
  for (const group of groups) {
    for (const cidr of group.sources) {
      const first = owner.get(cidr);
      if (first === undefined) owner.set(cidr, group.name);
      else if (first !== group.name) found.push([cidr, first, group.name]);
    }
  }
  return found;
}
