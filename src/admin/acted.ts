/** What an operator did over the API, as the record takes it. Used by `routes/`. */
import type { OperatorEvent } from '../audit/event.ts';
import type { AdminDeps, Ask } from './route.ts';

type Done = Pick<OperatorEvent, 'action'> &
  Partial<Pick<OperatorEvent, 'group' | 'subject' | 'outcome' | 'why'>>;

/** Hands it to the record under the asker's name. Default: done, to nobody in particular. */
export function recordAction(
  { record, clock }: AdminDeps,
  { who, client }: Pick<Ask, 'who' | 'client'>,
  done: Done,
): void {
  record({
    kind: 'operator',
    group: null,
    subject: null,
    outcome: 'done',
    why: null,
    ...done,
    operator: who.name,
    origin: 'api',
    client,
    actedAt: clock.now(),
  });
}
