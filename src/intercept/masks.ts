/** Masks of the frames that go upstream (RFC 6455 section 5.3). Made by `message-rewriter.ts` for each connection. */
import { randomFillSync } from 'node:crypto';

const MASK_STOCK_BYTES = 256;

/** Not to be foretold by whoever chose the payload. Drawn in stock: one draw costs as much as 64. */
export class Masks {
  readonly #stock = Buffer.alloc(MASK_STOCK_BYTES);
  #at = MASK_STOCK_BYTES;

  next(): number {
    if (this.#at === MASK_STOCK_BYTES) {
      randomFillSync(this.#stock);
      this.#at = 0;
    }
    const mask = this.#stock.readUInt32BE(this.#at);
    this.#at += 4;
    return mask;
  }
}
