/**
 * Questions that replicas ask each other: a call waits at the replica that its sandbox asked, and a person may look and
 * decide at any. Each is one sealed message to the other and one back, by Redis, which keeps neither. Made by `replicas.ts`.
 */
import { randomUUID } from 'node:crypto';
import type { ApprovalLists, Decided, Decision } from '../base/approvals.ts';
import type { ControlPlane } from '../base/control.ts';
import type { RedisBoard } from '../state/redis-board.ts';
import type { ApprovalSeat } from '../supervise/approvals.ts';
import { type Ask, parseAnswers, parseMessage } from './call-words.ts';

export type Approvals = Pick<ControlPlane, 'approvals' | 'decide' | 'forget'>;

/** A replica that does not answer by then is left out. Longer than it waits for workers of its own (`supervise/seat.ts`). */
const ANSWER_MS = 2_500;
/** Questions of this replica that are open at once, and of others that are worked on. */
const MAX_OPEN = 256;
/** A list of calls with the beginnings of their bodies; a longer one loses those. */
const MAX_MESSAGE_CHARS = 2 * 1024 * 1024;

export class Calls {
  readonly #board: RedisBoard;
  readonly #id: string;
  readonly #open = new Map<string, (value: unknown) => void>();
  #serving = 0;
  #approvals: Approvals | null = null;

  constructor(board: RedisBoard, id: string) {
    this.#board = board;
    this.#id = id;
  }

  /** Answers from now on what others ask. `approvals`: of this replica alone. */
  serve(approvals: Approvals): void {
    this.#approvals = approvals;
  }

  /** Takes a message that came for this replica. Never throws. */
  heard(sealed: string): void {
    if (sealed.length > MAX_MESSAGE_CHARS) return;
    const message = parseMessage(this.#board.heard(this.#id, sealed));
    if (message === null) return;
    if (message.kind === 'answer') return this.#open.get(message.id)?.(message.value);
    if (this.#serving >= MAX_OPEN) return;
    this.#serving += 1;
    void this.#answer(message.ask)
      .then((value) => this.#say(message.from, { kind: 'answer', id: message.id, value }))
      // Whoever asked hears nothing, as from a replica that is gone.
      .catch(() => {})
      .finally(() => {
        this.#serving -= 1;
      });
  }

  /** Another replica, as `supervise/approvals.ts` asks it. */
  seat(id: string): ApprovalSeat {
    return {
      approvals: async () => parseAnswers.approvals(await this.#ask(id, { what: 'approvals' })),
      decide: async (decision) =>
        parseAnswers.decide(await this.#ask(id, { what: 'decide', about: decision })),
      forget: async (about) => parseAnswers.forget(await this.#ask(id, { what: 'forget', about })),
    };
  }

  /** Null: no answer. Never rejects. */
  async #ask(to: string, ask: Ask): Promise<unknown> {
    if (this.#open.size >= MAX_OPEN) return null;
    const id = randomUUID();
    const { promise, resolve } = Promise.withResolvers<unknown>();
    this.#open.set(id, resolve);
    const limit = setTimeout(() => resolve(null), ANSWER_MS);
    this.#say(to, { kind: 'ask', id, from: this.#id, ask }).then(
      (heard) => {
        if (!heard) resolve(null);
      },
      () => resolve(null),
    );
    try {
      return await promise;
    } finally {
      clearTimeout(limit);
      this.#open.delete(id);
    }
  }

  async #answer(ask: Ask): Promise<ApprovalLists | Decided | boolean> {
    const approvals = this.#approvals;
    if (approvals === null) throw new Error('it is only starting');
    switch (ask.what) {
      case 'approvals':
        return shortened(await approvals.approvals());
      case 'decide':
        return await approvals.decide(decisionOf(ask.about));
      case 'forget':
        return await approvals.forget(ask.about.id, ask.about.by);
    }
  }

  #say(to: string, message: object): Promise<boolean> {
    return this.#board.say(to, message);
  }
}

/** Bodies are shown where the call waits; a list that is too long for a message goes without them. */
function shortened(lists: ApprovalLists): ApprovalLists {
  if (JSON.stringify(lists).length < MAX_MESSAGE_CHARS / 2) return lists;
  const approvals = lists.approvals.map((view) => ({
    ...view,
    body: view.body === null ? null : { ...view.body, text: null, whole: false },
  }));
  return { ...lists, approvals };
}

/** Without a key that says `undefined`. */
function decisionOf({ like, ...rest }: Extract<Ask, { what: 'decide' }>['about']): Decision {
  return like === undefined ? rest : { ...rest, like };
}
