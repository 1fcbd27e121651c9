/**
 * Walks the chain and names the first record that is not as it was written: edited, deleted, moved, torn,
 * or cut off at the end. Pure: `audit verify` (cli) feeds it lines. A single edit breaks the link of the
 * record after it, so blame waits one record: who of the two still fits its own successor is whole.
 */
import { Buffer } from 'node:buffer';
import { GENESIS, type HashHex, type Head } from './chain.ts';

export type LinePlace = {
  readonly file: string;
  /** 1-based */
  readonly line: number;
};

export type FindingKind =
  | 'edited'
  | 'deleted'
  | 'reordered'
  | 'torn'
  | 'cut_off'
  | 'rewritten'
  | 'checkpoint';

export type Finding = LinePlace & { readonly what: FindingKind; readonly text: string };

/** What the signed checkpoint vouches for; `start` is where the kept part of the chain begins. */
export type Anchor = { readonly head: Head; readonly start: { readonly seq: number; readonly prev: string } };

export type VerifyResult = {
  readonly records: number;
  readonly first: number | null;
  readonly last: number | null;
  readonly finding: Finding | null;
};

export type Link = { readonly seq: number; readonly prev: string };
type Seen = { readonly place: LinePlace; readonly seq: number; readonly hash: string };

export class ChainVerifier {
  readonly #hash: HashHex;
  readonly #anchor: Anchor | null;
  #last: Seen | null = null;
  /** the record before `#last`, when the link between them did not fit */
  #suspect: Seen | null = null;
  #finding: Finding | null = null;
  #missing: readonly [number, number] | null = null;
  #first: number | null = null;
  #records = 0;

  constructor(hash: HashHex, anchor: Anchor | null) {
    this.#hash = hash;
    this.#anchor = anchor;
  }

  /** Takes the next line, without its newline, in the order of the files. */
  line(place: LinePlace, bytes: Uint8Array): void {
    this.#records += 1;
    const link = readLink(bytes);
    if (this.#finding !== null) {
      this.#explainGap(link);
      return;
    }
    if (link === null) {
      this.#settleSuspect(null);
      this.#report(place, 'edited', 'this line is not an audit record');
      return;
    }
    this.#settleSuspect(link.prev);
    if (this.#finding !== null) return;
    const seen: Seen = { place, seq: link.seq, hash: this.#hash(bytes) };
    if (this.#last === null) this.#checkFirst(place, link);
    else this.#checkLink(this.#last, link, place);
    this.#checkAnchor(seen);
    this.#last = seen;
  }

  /** Bytes after the last newline of a file: a write that was never finished. */
  torn(place: LinePlace, bytes: number): void {
    if (this.#finding !== null) return;
    this.#settleSuspect(null);
    this.#report(place, 'torn', `${bytes} bytes of an unfinished record`);
  }

  finish(): VerifyResult {
    this.#settleSuspect(null);
    const end = this.#anchor?.head ?? null;
    const last = this.#last;
    const reached = last?.seq ?? 0;
    if (this.#finding === null && end !== null && reached < end.seq) {
      const place = last?.place ?? { file: 'checkpoint.json', line: 1 };
      this.#report(place, 'cut_off', `records ${reached + 1} to ${end.seq} are missing after this one`);
    }
    return { records: this.#records, first: this.#first, last: last?.seq ?? null, finding: this.#finding };
  }

  #checkFirst(place: LinePlace, link: Link): void {
    this.#first = link.seq;
    if (link.seq === 1) {
      if (link.prev !== GENESIS) this.#report(place, 'edited', 'record 1 does not begin the chain');
      return;
    }
    const start = this.#anchor?.start;
    if (start === undefined) return;
    // Older than the recorded start: retention was about to delete this file.
    if (link.seq > start.seq) {
      this.#missing = [start.seq, link.seq - 1];
      this.#report(place, 'deleted', `records ${start.seq} to ${link.seq - 1} are missing before this one`);
    } else if (link.seq === start.seq && link.prev !== start.prev) {
      this.#report(place, 'edited', `record ${link.seq} does not continue what was kept of the chain`);
    }
  }

  #checkLink(last: Seen, link: Link, place: LinePlace): void {
    const expected = last.seq + 1;
    if (link.seq === expected) {
      if (link.prev !== last.hash) this.#suspect = last;
    } else if (link.prev === last.hash) {
      this.#report(place, 'edited', `this record's seq is ${link.seq}, it was written as ${expected}`);
    } else if (link.seq < expected) {
      this.#report(place, 'reordered', `record ${link.seq} stands after record ${last.seq}`);
    } else {
      this.#missing = [expected, link.seq - 1];
      this.#report(place, 'deleted', `${these(expected, link.seq - 1)} missing before this one`);
    }
  }

  /** The checkpoint vouches for one hash; a chain that was built anew does not lead there. */
  #checkAnchor(seen: Seen): void {
    const end = this.#anchor?.head;
    if (this.#finding !== null || end === undefined || seen.seq !== end.seq || seen.hash === end.hash) return;
    if (this.#suspect !== null) {
      this.#suspect = null;
      this.#report(seen.place, 'edited', `record ${seen.seq} is not what was written`);
      return;
    }
    this.#report(seen.place, 'rewritten', `record ${seen.seq} is not the one that the checkpoint signed`);
  }

  /** `next`: what the record after `#last` holds as `prev`; null: there is none, or it cannot be read. */
  #settleSuspect(next: string | null): void {
    const suspect = this.#suspect;
    const last = this.#last;
    if (suspect === null || last === null) return;
    this.#suspect = null;
    const lastIsWhole = next === null || next === last.hash;
    const bad = lastIsWhole ? suspect : last;
    this.#report(bad.place, 'edited', `record ${bad.seq} is not what was written`);
  }

  /** After a gap: records that turn up later were moved, not deleted. */
  #explainGap(link: Link | null): void {
    const finding = this.#finding;
    if (finding?.what !== 'deleted' || this.#missing === null || link === null) return;
    const [from, to] = this.#missing;
    if (link.seq < from || link.seq > to) return;
    this.#finding = {
      ...finding,
      what: 'reordered',
      text: `record ${link.seq} was moved from here to later`,
    };
  }

  #report(place: LinePlace, what: FindingKind, text: string): void {
    this.#finding ??= { ...place, what, text };
  }
}

function these(from: number, to: number): string {
  return from === to ? `record ${from} is` : `records ${from} to ${to} are`;
}

export function readLink(bytes: Uint8Array): Link | null {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'));
  } catch {
    // Not JSON: the caller reports the line.
    return null;
  }
  if (typeof value !== 'object' || value === null || !('seq' in value) || !('prev' in value)) return null;
  const { seq, prev } = value;
  if (typeof seq !== 'number' || !Number.isSafeInteger(seq) || seq < 1 || typeof prev !== 'string')
    return null;
  return { seq, prev };
}
