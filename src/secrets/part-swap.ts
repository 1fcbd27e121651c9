/**
 * One stretch of a request's body in one format: this identity's placeholders become keys, and everything else that is
 * passed on is searched for other placeholders and real keys in each spelling. In base64 and hex nothing is swapped: what is seen
 * there is refused. Used by `body-swap.ts` and `multipart-swap.ts`, which share a `SwapState`. Invariants I5 and I6;
 * contract sections 4 and 11.
 */
import { type Denied, denied } from '../flow/reason.ts';
import type { Binding } from './binding.ts';
import type { BodyFormat } from './body-type.ts';
import { CODED_MARKER_CHARS, hasCodedMarker } from './coded.ts';
import type { Spot } from './head.ts';
import { PatternSet } from './patterns.ts';
import { hasMarker } from './placeholder.ts';
import { renderValue } from './render.ts';
import type { Spelling } from './spellings.ts';
import { type Match, type Passing, type Pieces, StreamRewriter } from './stream.ts';
import {
  judgePlaceholder,
  leak,
  MAX_MESSAGE_HITS,
  MAX_SUBSTITUTED_KEYS,
  misplacedCode,
  type SwapAsk,
} from './substitute.ts';

export type BodyAsk = SwapAsk & {
  /** of `placeholderPatterns` */
  readonly own: PatternSet<string>;
};

/** An identity's placeholders, each with itself as its tag. */
export function placeholderPatterns(bindings: readonly Binding[]): PatternSet<string> {
  const own = bindings.flatMap(({ placeholder, aliases }) => [placeholder, ...(aliases ?? [])]);
  return new PatternSet(
    own.map((text) => ({ lead: null, codes: Buffer.from(text, 'latin1'), trail: null, tag: text })),
  );
}

/** What all parts of one body have in common. */
export class SwapState {
  readonly ask: BodyAsk;
  /** names of the variables whose keys were put in */
  readonly used = new Set<string>();
  readonly patterns: PatternSet<string>;
  /** why the body must not go on */
  denied: Denied | null = null;
  #hits = 0;
  #keyChars = 0;

  constructor(ask: BodyAsk) {
    this.ask = ask;
    this.patterns = ask.own;
  }

  /** Refuses past the caps of one message. */
  count(key: string): boolean {
    this.#hits += 1;
    this.#keyChars += key.length;
    if (this.#hits > MAX_MESSAGE_HITS) return this.refuse(TOO_MANY);
    return this.#keyChars <= MAX_SUBSTITUTED_KEYS || this.refuse(TOO_LARGE);
  }

  refuse(why: Denied): false {
    this.denied ??= why;
    return false;
  }
}

const TOO_MANY = denied('body_too_large', 'The body holds too many placeholders.');
const TOO_LARGE = denied('body_too_large', 'The body with its keys is too large.');
/** `narrow`: without NULs, as of UTF-16 what is ASCII */
type Looked = Passing | 'narrow';
const SPELLINGS: readonly Looked[] = ['plain', 'percent', 'json', 'narrow'];
const NUL = '\0';
/** A byte order mark, or a NUL where JSON has none in its first four bytes (RFC 4627 section 3). */
const WIDE_MARK = /^(?:\xff\xfe|\xfe\xff|.{0,3}\0)/s;
const MARK_CHARS = 4;

export class PartSwap {
  readonly #state: SwapState;
  readonly #format: BodyFormat;
  readonly #stream: StreamRewriter<string>;
  /** what was passed on last, in each spelling: what is searched for may begin there */
  #tails: Readonly<Record<Looked, string>> = NO_TAILS;
  /** how it begins, before anything was put in */
  #opening = '';

  constructor(state: SwapState, format: BodyFormat) {
    this.#state = state;
    this.#format = format;
    this.#stream = new StreamRewriter({
      patterns: () => state.patterns,
      replace: (match) => this.#replace(match),
      passing: (texts) => this.#passing(texts),
    });
  }

  /** Appends to `out` what may be sent. False: refused, see the state. */
  feed(bytes: Buffer, out: Pieces): boolean {
    return this.#stream.feed(bytes, out);
  }

  end(out: Pieces): boolean {
    return this.#stream.end(out);
  }

  /** All at once. */
  whole(bytes: Buffer, out: Pieces): boolean {
    return this.#stream.whole(bytes, out);
  }

  #replace({ tag, spelling }: Match<string>): string | null {
    const state = this.#state;
    const spot = this.#spot(spelling);
    const binding = judgePlaceholder(state.ask, tag, spot);
    if ('kind' in binding) {
      state.refuse(binding);
      return null;
    }
    const value = binding.value();
    const text = value === null ? null : renderValue(value, spot);
    if (text === null) {
      state.refuse(denied('secret_unavailable', 'The key behind a placeholder is not available now.'));
      return null;
    }
    this.#tails = NO_TAILS;
    this.#opening = this.#opening.padEnd(MARK_CHARS);
    state.used.add(binding.env);
    return state.count(text) ? text : null;
  }

  #spot(spelling: Spelling): Spot {
    const format = this.#format;
    // Some readers tell UTF-16 and UTF-32 by it, whatever the type says: they would read a key as other text.
    const isWide = WIDE_MARK.test(this.#opening);
    return format === 'opaque' || isWide ? { kind: 'none' } : { kind: 'body', format, spelling };
  }

  #passing(texts: Readonly<Record<Passing, string>>): boolean {
    const { bindings } = this.#state.ask;
    const overlap = Math.max(bindings.known.longest, bindings.leaks.longest, CODED_MARKER_CHARS) - 1;
    const tails = this.#tails;
    if (this.#opening.length < MARK_CHARS)
      this.#opening += texts.plain.slice(0, MARK_CHARS - this.#opening.length);
    const windows = { plain: '', percent: '', json: '', narrow: '' };
    const narrow = texts.plain.includes(NUL) ? texts.plain.replaceAll(NUL, '') : texts.plain;
    for (const spelling of SPELLINGS) {
      const window = tails[spelling] + (spelling === 'narrow' ? narrow : texts[spelling]);
      if (spelling === 'plain' || window !== windows.plain) {
        const why = this.#fault(window);
        if (why !== null) return this.#state.refuse(why);
      }
      windows[spelling] = window;
    }
    this.#tails = {
      plain: windows.plain.slice(-overlap),
      percent: windows.percent.slice(-overlap),
      json: windows.json.slice(-overlap),
      narrow: windows.narrow.slice(-overlap),
    };
    return true;
  }

  /** What may not pass: a real key, another's placeholder, or one that nobody issued. */
  #fault(text: string): Denied | null {
    const { bindings } = this.#state.ask;
    if (bindings.leaks.found(text)) return leak();
    const [hit] = bindings.known.find(text);
    if (hit === undefined && !hasMarker(text)) return hasCodedMarker(text) ? misplacedCode() : null;
    const judged = judgePlaceholder(this.#state.ask, hit?.tag ?? '', { kind: 'none' });
    return 'kind' in judged ? judged : null;
  }
}

const NO_TAILS: Readonly<Record<Looked, string>> = { plain: '', percent: '', json: '', narrow: '' };
