/**
 * What a webhook is told of a call that waits: facts to find it by, never its body, query values or keys. It leaves
 * the machine, and hosts and paths in it are an agent's words. Pure; used by `notifier.ts`.
 */
import type { ApprovalView, DeskEvent } from '../base/approvals.ts';

export type Told = Extract<DeskEvent, { kind: 'held' | 'decided' }>;

const MAX_WORDS = 300;

/** The body as JSON. `at`: ISO 8601. */
export function payloadOf(event: Told, format: 'json' | 'slack', at: string): string {
  return JSON.stringify(format === 'slack' ? { text: slackText(event) } : facts(event, at));
}

function facts(event: Told, at: string): object {
  const { id, group, identity, host, method, protocol, keys, rule, since, expires, waiting } = event.view;
  const { remember, second_factor } = event.view;
  const path = withoutQuery(event.view.path);
  const approval = { id, group, identity, host, method, path, protocol, keys, rule, since, expires, waiting };
  return {
    version: 1,
    event: `approval.${event.kind}`,
    at,
    ...(event.kind === 'decided' ? { decision: event.decision, by: event.by } : {}),
    approval: { ...approval, remember, second_factor },
  };
}

function slackText(event: Told): string {
  const { group, id, keys, expires } = event.view;
  const call = `\`${words(callOf(event.view))}\` of group ${words(group)}`;
  if (event.kind === 'decided') {
    return `${event.decision === 'allow' ? 'Allowed' : 'Denied'} by ${words(event.by)}: ${call}`;
  }
  const with_ = keys.length === 0 ? '' : ` with ${words(keys.join(', '))}`;
  return `Waits for approval: ${call}${with_}, until ${expires}. \`sallyport approvals allow ${words(id)}\``;
}

function callOf({ method, host, path }: ApprovalView): string {
  return `${method} ${host}${withoutQuery(path)}`;
}

function withoutQuery(path: string): string {
  const query = path.indexOf('?');
  return query === -1 ? path : `${path.slice(0, query)}?...`;
}

/** Mentions and links are written with `<`, code ends at a backtick (Slack's mrkdwn): an agent gets neither. */
function words(text: string): string {
  const plain = text
    .slice(0, MAX_WORDS)
    .replaceAll(/[^ -~]/g, '?')
    .replaceAll('`', "'");
  return plain.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
