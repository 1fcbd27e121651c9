/**
 * What may be asked inside a connection whose target CONNECT has fixed: requests to that host and no other, in whichever
 * form they name it. Every request is checked, not only the first (threat 1.4).
 */
import type { FlowRecord } from '../audit/flow-record.ts';
import type { SessionTurn } from '../base/stages.ts';
import type { Permit } from '../flow/permit.ts';
import { type Denied, denied } from '../flow/reason.ts';
import type { Target } from '../flow/target.ts';
import { checkHost, parseRequestTarget, type RequestTarget } from '../wire/http1-parse.ts';

/**
 * Judges the form of the request and forwards it. `secure`: the connection to the upstream is TLS; `draining`: the
 * proxy is about to end and takes nothing new; `describe`: fills in what is known of the connection, for a refusal.
 */
export function insideTurn(
  permit: Permit,
  secure: boolean,
  { draining, describe }: { draining: () => boolean; describe: (record: FlowRecord) => void },
): (turn: SessionTurn) => void {
  const { identity, target } = permit;
  return (turn) => {
    const path = draining() ? denied('draining') : insidePath(turn, permit, secure);
    if (typeof path === 'string') return turn.forward({ identity, target, path, secure });
    const record = turn.record();
    describe(record);
    record.method = turn.current.method;
    return turn.refuse(record, path);
  };
}

function insidePath(turn: SessionTurn, permit: Permit, secure: boolean): string | Denied {
  const head = turn.current;
  if (head.method === 'CONNECT') return denied('method_refused', 'CONNECT inside a tunnel.');
  const asked = parseRequestTarget(head);
  if ('kind' in asked) return asked;
  const path = pathHere(asked, permit.target, secure);
  if (path === null) return denied('bad_request', 'Inside a tunnel the request target must be a path.');
  return checkHost(head, permit.target, secure ? 443 : 80) ?? path;
}

/** RFC 9112 section 3.2.2: every server takes absolute-form. Null: it names another host, port or scheme. */
function pathHere(asked: RequestTarget, here: Target, secure: boolean): string | null {
  switch (asked.form) {
    case 'origin':
      return asked.path;
    case 'asterisk':
      return '*';
    case 'absolute': {
      const { authority, scheme, path } = asked;
      const same = authority.host === here.host && authority.port === here.port;
      return same && (scheme === 'https') === secure ? path : null;
    }
    case 'authority':
      return null;
  }
}
