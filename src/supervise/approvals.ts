/**
 * Calls that wait for a person in several places, workers or replicas, as one list: what is asked in two of them is one entry, and one
 * decision is carried out in both. Each keeps what its own connections asked. Used by `control.ts` and `replicas/control.ts`.
 */
import type { ApprovalLists, ApprovalView, Decided, Decision } from '../base/approvals.ts';
import type { ControlPlane } from '../base/control.ts';

/** One such place; null: it does not answer. */
export type ApprovalSeat = {
  approvals(): Promise<ApprovalLists | null>;
  decide(decision: Decision): Promise<Decided | null>;
  forget(about: { readonly id: string; readonly by: string }): Promise<boolean | null>;
};

export function crewApprovals(
  places: () => readonly ApprovalSeat[],
): Pick<ControlPlane, 'approvals' | 'decide' | 'forget'> {
  let last: Promise<unknown> = Promise.resolve();
  const look = () => Promise.all(places().map((seat) => seat.approvals()));
  return {
    approvals: async () => merged(await look()),
    // One at a time, so that of two operators the second one finds it decided.
    decide: (decision) => {
      const mine = last.then(() => decide(places(), decision));
      last = mine.catch(() => {});
      return mine;
    },
    forget: async (id, by) => {
      for (const seat of places()) if ((await seat.forget({ id, by })) === true) return true;
      return false;
    },
  };
}

async function decide(seats: readonly ApprovalSeat[], decision: Decision): Promise<Decided> {
  const lists = await Promise.all(seats.map((seat) => seat.approvals()));
  const at = lists.findIndex((list) => list?.approvals.some(({ id }) => id === decision.id) === true);
  const seat = seats[at];
  const shown = lists[at]?.approvals.find(({ id }) => id === decision.id);
  if (seat === undefined || shown === undefined) return late(seats, decision);
  const decided = (await seat.decide(decision)) ?? UNANSWERED;
  if (decided.kind !== 'done') return decided;
  const { key, likeness } = shown;
  const others = seats.filter(
    (_, index) => index !== at && lists[index]?.approvals.some((view) => view.key === key) === true,
  );
  const more = await Promise.all(
    others.map((other) => other.decide({ ...decision, like: { key, likeness } })),
  );
  const released = more.map((one) => (one?.kind === 'done' ? one.released : 0));
  return { ...decided, released: released.reduce((sum, count) => sum + count, decided.released) };
}

/** Who did not answer may have carried it out. */
const UNANSWERED: Decided = { kind: 'unanswered' };

/** Nobody who answered holds it: one of them may know what became of it, and who does not answer may hold it. */
async function late(seats: readonly ApprovalSeat[], decision: Decision): Promise<Decided> {
  const answers = await Promise.all(seats.map((seat) => seat.decide(decision)));
  const told = answers.map((one) => one ?? UNANSWERED).sort((one, two) => worth(two) - worth(one));
  return told[0] ?? { kind: 'unknown' };
}

/** What somebody knows, before that somebody may know, before that nobody does. */
function worth({ kind }: Decided): number {
  if (kind === 'unknown') return 0;
  return kind === 'unanswered' ? 1 : 2;
}

function merged(lists: readonly (ApprovalLists | null)[]): ApprovalLists {
  const byKey = new Map<string, ApprovalView>();
  const remembered = new Map(lists.flatMap((list) => list?.remembered ?? []).map((view) => [view.id, view]));
  for (const view of lists.flatMap((list) => list?.approvals ?? [])) {
    const known = byKey.get(view.key);
    byKey.set(view.key, known === undefined ? view : joined(known, view));
  }
  const approvals = [...byKey.values()].sort((a, b) => a.since.localeCompare(b.since));
  return { approvals, remembered: [...remembered.values()] };
}

/** The older one is shown. */
function joined(one: ApprovalView, two: ApprovalView): ApprovalView {
  const [first, second] = one.since <= two.since ? [one, two] : [two, one];
  const same = first.same + (first.likeness === second.likeness ? second.same : 0);
  return { ...first, waiting: first.waiting + second.waiting, same };
}
