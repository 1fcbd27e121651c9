/** What a cell of the fault matrix must come to, as contract section 5 and the README have it. */
import type { ClientMove, Transport } from './transports.ts';
import type { Act } from './upstream-acts.ts';

export type Expected = {
  /** `ended` and reason of the end record, in one word; more than one where two ends race */
  readonly ends: readonly string[];
  /** of the answer that the client gets; null: it may not get one */
  readonly status: number | null;
  /** an answer that began must be seen to be broken off */
  readonly broken: boolean;
  /** only the clock ends it */
  readonly needsClock: boolean;
};

const WHOLE: Expected = { ends: ['done'], status: 200, broken: false, needsClock: false };
const refusedWith = (status: number, ...reasons: readonly string[]): Expected => ({
  ends: reasons.map((reason) => `refused ${reason}`),
  status,
  broken: false,
  needsClock: false,
});

export function expected(transport: Transport, act: Act, move: ClientMove, half: boolean): Expected {
  if (transport.streams) return ofStream(act, move, half);
  return transport.secure ? ofRequest(act, move, half) : ofTunnel(act, move);
}

/** The client ends the request by its move: the upstream acts when that is recorded. */
export function leavesFirst(transport: Transport, move: ClientMove, half: boolean): boolean {
  if (move === 'resets' || move === 'resets the stream') return true;
  if (move === 'closes') return transport.streams || (half && transport.secure);
  return move === 'half-closes' && half && transport.secure;
}

function ofStream(act: Act, move: ClientMove, half: boolean): Expected {
  if (act.phase === 'after body') return WHOLE;
  const waited = whenWaiting(act, half);
  const unheard = { ...waited, status: null, broken: false };
  const race = actsByItself(act) ? waited.ends : [];
  switch (move) {
    case 'resets':
    case 'closes':
    case 'resets the stream':
      return { ...unheard, ends: ['client_abort', ...race], needsClock: false };
    case 'half-closes':
      // Shorter than its content-length: the stream is reset as malformed (RFC 9113 section 8.1.1).
      return half ? { ...unheard, ends: ['client_abort', ...race], needsClock: false } : waited;
    case 'stops reading':
      // Bytes that it does not take make the stall its own.
      return act.fault === 'stall'
        ? { ...unheard, ends: [...waited.ends, 'timeout client_timeout'] }
        : unheard;
    case 'waits':
    case 'goes away':
      return waited;
  }
}

function ofRequest(act: Act, move: ClientMove, half: boolean): Expected {
  if (act.phase === 'after body') return WHOLE;
  const waited = whenWaiting(act, half);
  const unheard = { ...waited, status: null, broken: false };
  switch (move) {
    case 'resets':
      return {
        ...unheard,
        ends: actsByItself(act) ? [...waited.ends, 'client_abort'] : ['client_abort'],
        needsClock: false,
      };
    case 'closes':
    case 'half-closes': {
      // A request that can no longer become whole is malformed; one that is whole is served (RFC 9112 section 9.6).
      const ends = half ? ['refused bad_request'] : waited.ends;
      const needsClock = !half && waited.needsClock;
      const race = half && actsByItself(act) ? waited.ends : [];
      if (move === 'closes') return { ...unheard, ends: [...ends, ...race, 'client_abort'], needsClock };
      return half ? { ...unheard, ends: [...ends, ...race], needsClock } : waited;
    }
    case 'stops reading':
      return unheard;
    case 'waits':
    case 'goes away':
    case 'resets the stream':
      return waited;
  }
}

/** Then there is no order between what the client and the upstream do. */
export function actsByItself(act: Act): boolean {
  return act.fault === 'refuse' || act.calls !== undefined;
}

function whenWaiting(act: Act, half: boolean): Expected {
  const began = act.phase === 'mid body';
  if (act.phase === 'handshake') return refusedWith(502, 'upstream_tls');
  if (act.fault === 'refuse') return refusedWith(502, 'connect_failed');
  if (act.phase === 'connect') return refusedWith(502, 'upstream_tls', 'connect_failed');
  if (act.fault === 'stall') {
    const ends = [half ? 'timeout client_timeout' : 'timeout upstream_timeout'];
    return { ends, status: began ? 200 : half ? 408 : 504, broken: began, needsClock: true };
  }
  if (act.untilEnd === true && act.fault !== 'reset') return WHOLE;
  const ends = ['upstream_abort upstream_bad_response'];
  return { ends, status: began ? 200 : 502, broken: began, needsClock: false };
}

function ofTunnel(act: Act, move: ClientMove): Expected {
  const any = { status: null, broken: false, needsClock: false };
  if (act.fault === 'refuse') {
    const told = refusedWith(502, 'connect_failed');
    if (move === 'waits' || move === 'half-closes') return told;
    return { ...told, status: null, ends: [...told.ends, 'client_abort'] };
  }
  if (move === 'resets') return { ...any, ends: ['client_abort'] };
  // Nothing is written any more, so that even a client that is gone is not known to be.
  if (act.fault === 'stall') return { ...any, ends: ['timeout'], needsClock: true };
  const unread = move === 'stops reading';
  // With unread bytes a close is a reset, and the reset may come before the connection is known to stand.
  if (act.phase === 'connect') {
    const ends = ['upstream_abort', 'done', 'refused connect_failed', ...(unread ? ['timeout'] : [])];
    return { ...any, ends, needsClock: unread };
  }
  if (act.fault === 'reset') return { ...any, ends: ['upstream_abort'] };
  if (unread) return { ...any, ends: ['timeout', 'done', 'upstream_abort'], needsClock: true };
  return { ...any, ends: act.fault === 'close' ? ['done', 'upstream_abort'] : ['done'] };
}
