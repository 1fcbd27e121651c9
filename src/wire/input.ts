/**
 * One read's bytes and how far they have been used. Called by the readers of `http1-reader.ts`, whose
 * callbacks may come back into the reader while a read is being used up.
 */
import { Buffer } from 'node:buffer';

const EMPTY: Buffer = Buffer.alloc(0);

export class Input {
  /** offset of the first byte not used; set by the steps */
  at = 0;
  #bytes: Buffer = EMPTY;
  #running = false;
  readonly #step: () => void;
  readonly #broken: () => void;

  /**
   * @param step uses some bytes by moving `at`
   * @param broken a step threw and has lost bytes: what follows must not be read as a message
   */
  constructor(step: () => void, broken: () => void) {
    this.#step = step;
    this.#broken = broken;
  }

  get bytes(): Buffer {
    return this.#bytes;
  }

  get running(): boolean {
    return this.#running;
  }

  get atEnd(): boolean {
    return this.at >= this.#bytes.length;
  }

  /** How many bytes are not used yet. */
  get left(): number {
    return this.#bytes.length - this.at;
  }

  /** A view of what is not used yet. */
  rest(): Buffer {
    return this.#bytes.subarray(this.at);
  }

  /** Leaves the rest unused. */
  skip(): void {
    this.at = this.#bytes.length;
  }

  /** Steps until every byte is used. */
  run(bytes: Buffer): void {
    if (this.#running) throw new Error('feed() from inside a callback');
    this.#bytes = bytes;
    this.at = 0;
    this.#running = true;
    try {
      while (!this.atEnd) this.#step();
    } catch (error) {
      this.#broken();
      throw error;
    } finally {
      this.#running = false;
      this.#bytes = EMPTY;
      this.at = 0;
    }
  }
}
