/**
 * One entry of the desk: the requests that wait for the same decision, the oldest of which is shown. Its id names what a
 * person saw: when another request comes to stand in front that is not the same, the entry is another one.
 */
import type { ApprovalView, Held, HeldEnd } from '../base/approvals.ts';
import { authorityText, hostText } from '../flow/target.ts';
import type { Ask } from '../flow/verdict.ts';

export type Waiter = {
  readonly held: Held;
  readonly ask: Ask;
  /** milliseconds since the epoch */
  readonly since: number;
  readonly expires: number;
  /** monotonic milliseconds */
  readonly deadline: number;
};

/** Under the policy in force, which may ask for more than the one that held it. */
export function askNow({ held, ask }: Waiter): Ask {
  const judged = held.judge();
  return 'kind' in judged && judged.kind === 'ask' ? judged : ask;
}

/** How an entry ended, and by whom; null: by nobody. */
export type Over = { readonly how: HeldEnd; readonly by: string | null };

export class Entry {
  id: string;
  /** the decision that is being written down */
  deciding: Over | null = null;
  /** what is shown changed meanwhile */
  stale = false;
  /** nothing of the rule can be allowed before, as was known last; milliseconds since the epoch */
  coolUntil: number;
  readonly key: string;
  readonly group: string;
  /** whom the entry counts for */
  readonly asker: string;
  readonly waiters = new Set<Waiter>();
  #front: Waiter;

  constructor(id: string, first: Waiter, coolUntil: number) {
    const { held } = first;
    this.id = id;
    this.coolUntil = coolUntil;
    this.key = held.key;
    this.group = held.identity.group;
    this.asker = askerOf(held);
    this.#front = first;
    this.waiters.add(first);
  }

  /** The request that is shown. */
  get front(): Waiter {
    return this.#front;
  }

  /** Those that a person who sees the front cannot tell from it. */
  same(likeness: string = this.#front.held.likeness()): Waiter[] {
    return [...this.waiters].filter(({ held }) => held.likeness() === likeness);
  }

  /** Takes one out. `changed`: what is shown now is not what was shown. */
  remove(waiter: Waiter): 'empty' | 'changed' | 'same' {
    this.waiters.delete(waiter);
    if (waiter !== this.#front) return 'same';
    const [next] = this.waiters;
    if (next === undefined) return 'empty';
    this.#front = next;
    return next.held.likeness() === waiter.held.likeness() ? 'same' : 'changed';
  }

  /** `now`: milliseconds since the epoch. */
  view(now: number): ApprovalView {
    const { held, ask, since, expires } = this.#front;
    const { identity, target, scheme, facts, client, shownPath } = held;
    const { file, line, text } = ask.rule;
    const likeness = held.likeness();
    return {
      id: this.id,
      group: identity.group,
      identity: identity.id,
      client,
      host: authorityText(target),
      method: facts.method,
      path: shownPath,
      url: `${scheme}://${hostText(target, scheme === 'https' ? 443 : 80)}${shownPath}`,
      protocol: facts.protocol === 'websocket' ? 'websocket' : 'http',
      keys: held.keys,
      rule: { file, line, text },
      since: new Date(since).toISOString(),
      expires: new Date(expires).toISOString(),
      waiting: this.waiters.size,
      same: this.same(likeness).length,
      body: held.bodyView(),
      remember: Math.floor(ask.rememberMs / 1000),
      second_factor: ask.secondFactor,
      not_before: this.coolUntil > now ? new Date(this.coolUntil).toISOString() : null,
      key: this.key,
      likeness,
    };
  }
}

/** Who has entries of its own: a token, or one address of a group without tokens. */
export function askerOf({ identity, client }: Held): string {
  return `${identity.id} ${client}`;
}
