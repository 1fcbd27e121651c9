/**
 * Replaces what a `PatternSet` finds in a stream of bytes, spelt plainly, percent-encoded or JSON-escaped. However the
 * stream is cut, the result is the same: of overlapping matches the first counts, of two that begin together the
 * longer, and what was put in is never searched. Held back is only an end that may be the beginning of a match.
 * Used by `scrub.ts` for responses and `body-swap.ts` for requests.
 */

import { Cutter } from './cutter.ts';
import { foldedView, runBefore } from './folded.ts';
import { Front } from './front.ts';
import type { Found, PatternSet } from './patterns.ts';
import type { Escaped, Spelling } from './spellings.ts';
import { decodedView, endAt, escapedAt, indexAt, plainView, startAt, type View } from './views.ts';

export type Match<T> = {
  readonly tag: T;
  readonly spelling: Spelling;
  /** what was found, decoded; latin-1 */
  readonly text: string;
};

/** Spellings in which that is looked at which passes. */
export type Passing = 'plain' | 'percent' | 'json';

export type StreamAsk<T> = {
  /** asked at each piece */
  readonly patterns: () => PatternSet<T>;
  /** what to put in, latin-1; null: the stream is over */
  readonly replace: (match: Match<T>) => string | null;
  /** may base64 go over several lines */
  readonly folds?: boolean;
  /** sees all that is passed on between two matches, in each spelling, before it is; false: the stream is over */
  readonly passing?: (texts: Readonly<Record<Passing, string>>) => boolean;
};

/** Pieces to pass on, in order; strings are latin-1. */
export type Pieces = (string | Buffer)[];

/** In bytes. */
export function lengthOfPieces(pieces: Readonly<Pieces>): number {
  let length = 0;
  for (const piece of pieces) length += piece.length;
  return length;
}

const EMPTY = Buffer.alloc(0);
/** What is undone where text is searched for keys, */
const SEARCHED: readonly Escaped[] = ['percent', 'json', 'percent2', 'json2', 'html'];
/** and where it is written for a reader of ours: what a peer unescapes again is not told by what it is in. */
const WRITTEN: readonly Escaped[] = ['percent', 'json'];
/** Who reads the same where nothing is escaped twice. */
const ONCE: Readonly<Record<Escaped, Escaped>> = {
  percent: 'percent',
  json: 'json',
  percent2: 'percent',
  json2: 'json',
  html: 'html',
};

export class StreamRewriter<T> {
  readonly #ask: StreamAsk<T>;
  /** may be the beginning of a match; shorter than the longest pattern in its longest spelling */
  #held = '';
  /** how many bytes of `#held` belong to an escape that was passed on, by spelling */
  readonly #skip: Record<Escaped, number> = { percent: 0, json: 0, percent2: 0, json2: 0, html: 0 };
  readonly #escaped: readonly Escaped[];
  /** how many characters of base64 were passed on last */
  #base64 = 0;

  constructor(ask: StreamAsk<T>) {
    this.#ask = ask;
    this.#escaped = ask.passing === undefined ? SEARCHED : WRITTEN;
  }

  /** Characters that wait for what follows. */
  get held(): number {
    return this.#held.length;
  }

  /** Appends what can be passed on to `out`; slices of `bytes` among them. False: the stream is over. */
  feed(bytes: Buffer, out: Pieces): boolean {
    return bytes.length === 0 || this.#run(bytes, false, out);
  }

  /** Nothing follows. */
  end(out: Pieces): boolean {
    return this.#held === '' || this.#run(EMPTY, true, out);
  }

  /** All of a stream at once, of which nothing need be held back. */
  whole(bytes: Buffer, out: Pieces): boolean {
    return bytes.length === 0 || this.#run(bytes, true, out);
  }

  #run(bytes: Buffer, final: boolean, out: Pieces): boolean {
    const text = this.#held + bytes.toString('latin1');
    const patterns = this.#ask.patterns();
    const views = this.#views(text, patterns.codes, final);
    if (views.length === 1 && this.#ask.passing === undefined && !patterns.has(text)) {
      // Nearly every piece: nothing to take out, and mostly nothing that may become it.
      return this.#passOn(bytes, { text, to: final ? text.length : patterns.pendingAt(text, 0) }, out);
    }
    return this.#rewrite(bytes, { text, patterns, views, final }, out);
  }

  #passOn(bytes: Buffer, { text, to }: { text: string; to: number }, out: Pieces): true {
    if (this.#held === '' && to === text.length) out.push(bytes);
    else new Cutter(text, this.#held.length, bytes, out).pass(new Front(), to);
    this.#keep(text, to);
    return true;
  }

  #rewrite(bytes: Buffer, { text, patterns, views, final }: Stretch<T>, out: Pieces): boolean {
    const hits = allHits(views, patterns);
    const limit = final ? text.length : Math.min(...views.map(({ incomplete }) => incomplete));
    const pieces = new Cutter(text, this.#held.length, bytes, out);
    const front = new Front();
    let hold = final ? text.length : pendingFrom(views, patterns, 0);
    for (const hit of hits) {
      if (!front.takes(hit)) continue;
      hold = holdFrom(hold, views, patterns, front);
      // A longer one, or one that begins before it, may still come.
      if (hit.start >= hold) break;
      if (hit.end > limit) {
        hold = Math.min(hold, hit.start);
        break;
      }
      if (!this.#put(hit, views, front, pieces)) return false;
    }
    const to = Math.min(holdFrom(hold, views, patterns, front), limit);
    if (to < front.done) this.#keep(front.cut(text), to);
    else if (!this.#pass(views, front.done, to)) return false;
    else {
      pieces.pass(front, to);
      this.#keep(text, to);
    }
    return true;
  }

  /** What belongs in place of the match, and all that stands before it. */
  #put(hit: Hit<T>, views: readonly View[], front: Front, pieces: Cutter): boolean {
    const isJoined = hit.start < front.done;
    if (!isJoined && !this.#pass(views, front.done, hit.start)) return false;
    const match = hit.match();
    const replaced = this.#ask.replace(
      isJoined && hit.lead ? { ...match, text: front.joined(match.text) } : match,
    );
    if (replaced === null) return false;
    if (!isJoined) pieces.pass(front, hit.start);
    pieces.put(front.advance(hit, replaced));
    return true;
  }

  #views(text: string, codes: Uint8Array, final: boolean): readonly View[] {
    const views = [plainView(text)];
    const wanted = this.#ask.passing === undefined ? codes : null;
    for (const spelling of this.#escaped) {
      const skip = this.#skip[spelling];
      const differs = skip !== this.#skip[ONCE[spelling]];
      const view = decodedView(spelling, text, { skip, wanted, final, differs });
      if (view !== null) views.push(view);
    }
    const folded = this.#ask.folds === true ? foldedView(text, { before: this.#base64, final }) : null;
    if (folded !== null) views.push(folded);
    return views;
  }

  #pass(views: readonly View[], from: number, to: number): boolean {
    const { passing } = this.#ask;
    if (passing === undefined || from === to) return true;
    const plain = views[0]?.text.slice(from, to) ?? '';
    const textIn = (spelling: Passing): string => {
      const view = views.find((one) => one.spelling === spelling);
      return view === undefined ? plain : view.text.slice(indexAt(view, from), indexAt(view, to));
    };
    return passing({ plain, percent: textIn('percent'), json: textIn('json') });
  }

  #keep(text: string, from: number): void {
    const skip = this.#skip;
    if (this.#ask.folds === true) this.#base64 = runBefore(text, from, this.#base64);
    if (from === text.length) {
      for (const spelling of this.#escaped) skip[spelling] = Math.max(0, skip[spelling] - from);
      this.#held = '';
      return;
    }
    for (const spelling of this.#escaped) {
      skip[spelling] = escapedAt(spelling, text, { skip: skip[spelling], offset: from });
    }
    // A copy: a slice would keep the whole text in memory.
    this.#held = Buffer.from(text.slice(from), 'latin1').toString('latin1');
  }
}

/** What is looked at in one go. */
type Stretch<T> = {
  readonly text: string;
  readonly patterns: PatternSet<T>;
  readonly views: readonly View[];
  readonly final: boolean;
};

/** Is there certainly nothing to replace in a text of which no part is still to come: so of nearly every one, and soon told. */
export function isClean(text: string, patterns: PatternSet<unknown>): boolean {
  return !mayBeSpelt(text) && !patterns.has(text);
}

/** May anything be escaped in it, or base64 go over several lines. */
function mayBeSpelt(text: string): boolean {
  return text.includes('\\') || text.includes('%') || text.includes('&') || LINE_END.test(text);
}

const LINE_END = /[\r\n]/;

/** The whole of a short text at once. */
export function rewriteText<T>(text: string, ask: StreamAsk<T>): string | null {
  const out: Pieces = [];
  const stream = new StreamRewriter(ask);
  if (!stream.whole(Buffer.from(text, 'latin1'), out)) return null;
  return out.map((piece) => (typeof piece === 'string' ? piece : piece.toString('latin1'))).join('');
}

/** A match, its place in the source. */
type Hit<T> = {
  readonly start: number;
  readonly end: number;
  readonly lead: boolean;
  /** where its last character begins, if that may be another's first as well */
  readonly shared: number | null;
  readonly match: () => Match<T>;
};

/** By their beginning, longer ones first. */
function allHits<T>(views: readonly View[], patterns: PatternSet<T>): readonly Hit<T>[] {
  const hits = views.flatMap((view) => patterns.find(view.text).flatMap((found) => hitOf(view, found)));
  return hits.length < 2 ? hits : hits.sort((a, b) => a.start - b.start || b.end - a.end);
}

function hitOf<T>(view: View, { start, end, tag, lead, trail }: Found<T>): readonly Hit<T>[] {
  const at = { start: startAt(view, start), end: endAt(view, end) };
  // Nothing in it is escaped: the plain view has it, too.
  if (view.breaks !== null && at.end - at.start === end - start) return [];
  const match = (): Match<T> => ({ tag, spelling: view.spelling, text: view.text.slice(start, end) });
  return [{ ...at, lead, shared: trail ? startAt(view, end - 1) : null, match }];
}

/** The same for what follows the front. */
function holdFrom<T>(
  hold: number,
  views: readonly View[],
  patterns: PatternSet<T>,
  { from, done }: Front,
): number {
  if (hold >= done || hold === from) return hold;
  const at = pendingFrom(views, patterns, from);
  return at === from || at >= done ? at : pendingFrom(views, patterns, done);
}

/** Where the first beginning of a match begins that the end of the text cuts off. */
function pendingFrom<T>(views: readonly View[], patterns: PatternSet<T>, from: number): number {
  let least = Number.POSITIVE_INFINITY;
  for (const view of views) {
    if (view.text === '') continue;
    const at = patterns.pendingAt(view.text, indexAt(view, from));
    // Behind the last whole character there may be an escape that is cut off.
    least = Math.min(least, at === view.text.length ? view.incomplete : startAt(view, at));
  }
  return least;
}
