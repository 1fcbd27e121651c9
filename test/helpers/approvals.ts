/** Questions to the desk of a world, as the admin side asks them. */
import type { ApprovalView, Decided, Decision } from '../../src/base/approvals.ts';
import { eventually, type World } from './world.ts';

/** What waits now. */
export function held(world: World): ApprovalView[] {
  return world.proxy.parts.approvals.list();
}

/** The one entry that waits, once there is one. */
export async function theHeld(world: World, ready: (view: ApprovalView) => boolean = () => true) {
  const found = await eventually(() => {
    const [first, second] = held(world);
    if (second !== undefined) return 'several';
    return first !== undefined && ready(first) ? first : null;
  });
  if (found === 'several') throw new Error('more than one entry waits');
  return found;
}

export function decide(world: World, id: string, more: Partial<Decision> = {}): Promise<Decided> {
  const { promise, resolve } = Promise.withResolvers<Decided>();
  const decision = { decision: 'allow', reason: null, remember: true, by: 'alice', verified: false } as const;
  world.proxy.parts.approvals.decide({ ...decision, id, ...more }, resolve);
  return promise;
}
