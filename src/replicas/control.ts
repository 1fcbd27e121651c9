/** The running proxy as the admin side may see it, where it is one of several replicas. */
import type { ControlPlane, ReplicasView } from '../base/control.ts';

/** `control`: of this replica alone. */
export function replicaControl(control: ControlPlane, replicas: { view(): ReplicasView }): ControlPlane {
  return {
    ...control,
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
