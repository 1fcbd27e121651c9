/**
 * A request's body on its way to a host that a key with `in: [body]` is bound to: placeholders become keys, written as
 * the media type wants them; misplaced ones, others' and real keys refuse the request before its body is whole.
 * Called by `intercept/` for bodies whose encoding is undone. Contract sections 3, 4 and 11.
 */
import type { Denied } from '../flow/reason.ts';
import { bodyTypeOf } from './body-type.ts';
import { MultipartSwap } from './multipart-swap.ts';
import { type BodyAsk, PartSwap, SwapState } from './part-swap.ts';
import type { Pieces } from './stream.ts';

export class BodySwap {
  readonly #state: SwapState;
  readonly #swap: PartSwap | MultipartSwap;

  /** `contentType`: the values of that field, one as a rule */
  constructor(ask: BodyAsk, contentType: readonly string[]) {
    this.#state = new SwapState(ask);
    const type = bodyTypeOf(contentType);
    this.#swap =
      type.kind === 'multipart'
        ? new MultipartSwap(this.#state, type.boundary)
        : new PartSwap(this.#state, type.format);
  }

  /** Names of the variables whose keys were put in so far. */
  get used(): readonly string[] {
    return [...this.#state.used];
  }

  /** Appends to `out` what may be sent; slices of `bytes` among it. @returns why the request is refused, or null */
  feed(bytes: Buffer, out: Pieces): Denied | null {
    this.#swap.feed(bytes, out);
    return this.#state.denied;
  }

  end(out: Pieces): Denied | null {
    this.#swap.end(out);
    return this.#state.denied;
  }
  /** All of a body at once. */
  whole(bytes: Buffer, out: Pieces): Denied | null {
    this.#swap.whole(bytes, out);
    return this.#state.denied;
  }
}
