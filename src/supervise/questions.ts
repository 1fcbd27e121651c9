/** What the supervising process wants to know of one worker: each kind of question with those that wait for its answer. Made by `seat.ts`. */
import type { AboutOf, Answers, AnswerTo, Asked, Question } from './messages.ts';
import { Pending } from './pending.ts';

const QUICK_MS = 2_000;
/** A reload reads and compiles every policy. */
const RELOAD_MS = 15_000;

export class Questions {
  readonly #waiting: { readonly [K in Question]: Pending<Answers[K]> } = {
    report: new Pending(),
    flows: new Pending(),
    reload: new Pending(),
    metrics: new Pending(),
    lockdown: new Pending(),
    approvals: new Pending(),
    decide: new Pending(),
    forget: new Pending(),
    blocked: new Pending(),
    cut: new Pending(),
    explain: new Pending(),
  };
  readonly #send: (asked: Asked) => void;

  constructor(send: (asked: Asked) => void) {
    this.#send = send;
  }

  /** null: no answer came within `limitMs`, or the worker is gone. */
  ask<K extends Question>(what: K, about: AboutOf<K>, limitMs?: number): Promise<Answers[K] | null> {
    const limit = limitMs ?? (what === 'reload' ? RELOAD_MS : QUICK_MS);
    // One of the union, whichever `K` is: TypeScript cannot tell.
    return this.#waiting[what].ask((id) => this.#send({ kind: 'ask', id, what, about } as Asked), limit);
  }

  answer<K extends Question>(message: AnswerTo<K>): void {
    this.#waiting[message.kind].answer(message.id, message.value);
  }

  /** Nothing will be answered any more. */
  fail(): void {
    for (const questions of Object.values(this.#waiting)) questions.fail();
  }
}
