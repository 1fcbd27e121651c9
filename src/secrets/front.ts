/**
 * How far a text is rewritten. Where two keys of one base64 text meet, the last character of the first may hold bits of
 * the second, and is its first character as well. What was put in for the first ends with a character that has those bits
 * still, so it is not handed on before it is known not to be the second's. Used by `stream.ts`.
 */

/** Of a match: `shared` is where its last character begins, if that may be another's first. */
type Ending = { readonly end: number; readonly shared: number | null };

/** Percent-encoded, once or twice, where it means something else in a URL. */
const LAST = /(?:%(?:25)?2[BF]|.)$/s;

export class Front {
  /** all before it is rewritten */
  done = 0;
  /** what was put in for the last character before it, as it is written there; empty: that was handed on */
  waiting = '';
  #shared = 0;

  /** Where another match may begin. */
  get from(): number {
    return this.waiting === '' ? this.done : this.#shared;
  }

  takes({ start }: { readonly start: number }): boolean {
    return start >= this.done || start === this.from;
  }

  /** A match that begins with what waits: the bits of the one before it are not the key's any more. */
  joined(text: string): string {
    const { waiting } = this;
    const char = waiting.endsWith('B') ? '+' : '/';
    return (waiting.length === 1 ? waiting : char) + text.slice(1);
  }

  /** @returns what may be handed on of `replaced` */
  advance({ end, shared }: Ending, replaced: string): string {
    this.done = end;
    this.waiting = shared === null ? '' : (LAST.exec(replaced)?.[0] ?? '');
    this.#shared = shared ?? end;
    return replaced.slice(0, replaced.length - this.waiting.length);
  }

  /** The source, with what waits in place of what it stands for. */
  cut(text: string): string {
    return text.slice(0, this.#shared) + this.waiting + text.slice(this.done);
  }
}
