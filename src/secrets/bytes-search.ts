/**
 * Bytes that are passed on as they are, because no key can be put into them: lengths and sums may depend on each. What may
 * not pass is refused: real keys and placeholders, whoever's they are, plain, percent-encoded or with JSON escapes,
 * wherever the bytes are cut. Used by `intercept/` for what is no text in a WebSocket. Invariants I5 and I6.
 */
import type { Denied } from '../flow/reason.ts';
import { PartSwap, SwapState } from './part-swap.ts';
import { PatternSet } from './patterns.ts';
import type { SwapAsk } from './substitute.ts';

/** Nothing is swapped, so nothing is held back. */
const NO_PATTERNS = new PatternSet<string>([]);

export class BytesSearch {
  readonly #state: SwapState;
  readonly #part: PartSwap;

  constructor(ask: SwapAsk) {
    this.#state = new SwapState({ ...ask, own: NO_PATTERNS });
    this.#part = new PartSwap(this.#state, 'opaque');
  }

  /**
   * @returns a reason of `judgePlaceholder`, `secret_leak`, or null where what came so far may pass. A placeholder that
   * is cut behind its marker is `placeholder_unknown`: nothing waits for its end.
   */
  feed(bytes: Buffer): Denied | null {
    this.#part.feed(bytes, []);
    return this.#state.denied;
  }

  /** Nothing follows. */
  end(): Denied | null {
    this.#part.end([]);
    return this.#state.denied;
  }
}
