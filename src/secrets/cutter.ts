/** Hands on ranges of a text in a stream: of what was held as text, of what came as slices of its bytes. Used by `stream.ts`. */
import type { Front } from './front.ts';

export class Cutter {
  readonly #text: string;
  readonly #heldLength: number;
  readonly #bytes: Buffer;
  readonly #out: (string | Buffer)[];

  constructor(text: string, heldLength: number, bytes: Buffer, out: (string | Buffer)[]) {
    this.#text = text;
    this.#heldLength = heldLength;
    this.#bytes = bytes;
    this.#out = out;
  }

  put(text: string): void {
    this.#out.push(text);
  }

  /** What stands between the front and `to`, with what the front has not handed on yet. */
  pass({ waiting, done: from }: Front, to: number): void {
    if (waiting !== '') this.#out.push(waiting);
    const held = this.#heldLength;
    if (from < held && from < to) this.#out.push(this.#text.slice(from, Math.min(to, held)));
    if (to > held && to > from) this.#out.push(this.#bytes.subarray(Math.max(0, from - held), to - held));
  }
}
