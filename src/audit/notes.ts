/** What the next record must tell of the trail itself: mended ends, tampering, losses. Used by `writer.ts`. */

/** More than these say nothing new, and a record has a length. */
const MAX_NOTES = 8;

export class Notes {
  #notes: string[] = [];
  #lost = 0;

  add(note: string): void {
    if (this.#notes.length < MAX_NOTES) this.#notes.push(note);
  }

  lost(ends: number): void {
    this.#lost += ends;
  }

  /** null: nothing to tell. */
  text(): string | null {
    const lost = this.#lost === 0 ? [] : [`${this.#lost} end records were lost`];
    const all = [...this.#notes, ...lost];
    return all.length === 0 ? null : all.join('; ');
  }

  /** They stand in the file now. */
  clear(): void {
    this.#notes = [];
    this.#lost = 0;
  }
}
