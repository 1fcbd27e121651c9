/** The running proxy as the admin side may see it, where it is one of several replicas. */
import type { ControlPlane, ReplicasView } from '../base/control.ts';
import { type ApprovalSeat, crewApprovals } from '../supervise/approvals.ts';

/** `control`: of this replica alone; `peers`: the others that are alive. */
export function replicaControl(
  control: ControlPlane,
  replicas: { view(): ReplicasView; peers(): readonly ApprovalSeat[] },
): ControlPlane {
  const own: ApprovalSeat = {
    approvals: async () => control.approvals(),
    decide: async (decision) => control.decide(decision),
    forget: async ({ id, by }) => control.forget(id, by),
  };
  return {
    ...control,
    // What waits at another replica is shown and decided here as well.
    ...crewApprovals(() => [own, ...replicas.peers()]),
    ready: async () => {
      const ready = await control.ready();
      return { ...ready, notes: [...(ready.notes ?? []), ...notesOf(replicas.view())] };
    },
    status: async () => ({ ...(await control.status()), replicas: replicas.view() }),
  };
}

/** No reason to be unready: it serves by what it knows, and a new policy reaches no two replicas at once. */
function notesOf({ connected, policies }: ReplicasView): string[] {
  return [
    ...(connected ? [] : ['Redis is away: what other replicas lock or revoke is not known here']),
    ...(policies > 1 ? ['the replicas have different policies'] : []),
  ];
}
