/**
 * Work that is asked for by many and done one at a time, with a pause after each: whoever asks often does not have it done
 * more often. `replicas.ts` looks at Redis in this way, `start-signals.ts` reloads.
 */
export class Paced {
  readonly #run: () => Promise<void>;
  readonly #pauseMs: number;
  #running = false;
  /** asked for since the last run began */
  #again = false;
  #closed = false;
  #pause: NodeJS.Timeout | null = null;

  /** `run` never rejects. */
  constructor(run: () => Promise<void>, pauseMs: number) {
    this.#run = run;
    this.#pauseMs = pauseMs;
  }

  /** Now, or as soon as the run under way has ended and the pause is over. */
  ask(): void {
    if (this.#closed) return;
    this.#again = true;
    if (this.#running || this.#pause !== null) return;
    this.#running = true;
    this.#again = false;
    void this.#run().finally(() => {
      this.#running = false;
      if (this.#closed) return;
      this.#pause = setTimeout(() => {
        this.#pause = null;
        if (this.#again) this.ask();
      }, this.#pauseMs).unref();
    });
  }

  /** What is under way goes on; nothing begins any more. */
  close(): void {
    this.#closed = true;
    if (this.#pause !== null) clearTimeout(this.#pause);
  }
}
