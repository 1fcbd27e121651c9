/** The kill switch. Approvers may throw it; letting go again is an admin's. */
import { z } from 'zod';
import { mayAct } from '../../base/operator.ts';
import { EVERYBODY } from '../../state/lockdown.ts';
import { reasonText } from '../../state/lockdown-schema.ts';
import { recordAction } from '../acted.ts';
import { type AdminDeps, type Reply, type Route, refused, route } from '../route.ts';
import { flag, list, ok, problem, ref, shape, text, time } from '../schema.ts';

export const LOCKDOWN_SCHEMAS = {
  Lockdown: shape({ locked: flag, locks: list(shape({ group: text, since: time, by: text, reason: text })) }),
} as const;

const change = z.strictObject({
  on: z.boolean(),
  group: z.string().min(1).max(128).default(EVERYBODY).meta({ description: 'Default: all.' }),
  reason: reasonText,
});

export const LOCKDOWN_ROUTES: readonly Route[] = [
  route({
    method: 'GET',
    path: '/api/v1/lockdown',
    role: 'viewer',
    summary: 'Who is locked down, since when, by whom and why',
    answers: ok(ref('Lockdown')),
    run: view,
  }),
  route({
    method: 'PUT',
    path: '/api/v1/lockdown',
    role: 'approver',
    summary: 'Locks everybody or a group, or lets them go (role admin)',
    body: change,
    answers: {
      ...ok(ref('Lockdown')),
      '422': problem('There is no such group.'),
      '500': problem('It could not be written; a lock is in force until the process ends.'),
    },
    run: async (deps, ask) => {
      const { on, group, reason } = ask.body;
      if (!on && !mayAct(ask.who, 'admin')) {
        const detail = `Letting go needs the role admin; yours is ${ask.who.role}.`;
        recordAction(deps, ask, { action: 'lockdown.off', group, why: reason, outcome: 'refused' });
        return refused(403, 'role_needed', detail);
      }
      if (on && !(await isGroup(deps, group))) {
        const detail = 'The policy in force has no such group.';
        return refused(422, 'group_unknown', detail);
      }
      const done = await deps.control.setLockdown({ on, group, by: ask.who.name, reason });
      if (done.changed) {
        recordAction(deps, ask, { action: on ? 'lockdown.on' : 'lockdown.off', group, why: reason });
      }
      if (done.problem === null) return view(deps);
      const detail = on
        ? 'In force, but it could not be written: a restart would not find it.'
        : 'It could not be written, so it stays locked.';
      return refused(500, 'not_written', detail);
    },
  }),
];

async function view({ control }: AdminDeps): Promise<Reply> {
  const { locks } = await control.lockdown();
  return { json: { locked: locks.some(({ group }) => group === EVERYBODY), locks } };
}

/** Without a policy nobody knows the groups, and the switch must work all the same. */
async function isGroup({ control }: AdminDeps, name: string): Promise<boolean> {
  if (name === EVERYBODY) return true;
  const groups = await control.groups();
  return groups.length === 0 || groups.some(({ group }) => group === name);
}
