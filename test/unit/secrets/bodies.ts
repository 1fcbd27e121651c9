/** An identity with keys that may stand in bodies, and a body sent through in pieces. */
import { BodySwap } from '../../../src/secrets/body-swap.ts';
import { placeholderPatterns } from '../../../src/secrets/part-swap.ts';
import { authority, type Key, SHAPES, world } from './world.ts';

export const REAL = 'REAL"key\\with/all+of=it&1234567';
export const PLAIN_REAL = 'ghp_REALgithub0123456789abcdefghijklmnop';
export const HEADER_ONLY_REAL = 'AC0123456789abcdef0123456789abcdef';
const HOST = 'api.test';

const KEYS: readonly Key[] = [
  { env: 'ODD', shape: SHAPES.telegram, host: HOST, places: [{ kind: 'body' }], value: Buffer.from(REAL) },
  {
    env: 'TOKEN',
    shape: SHAPES.github,
    host: HOST,
    places: [{ kind: 'body' }],
    value: Buffer.from(PLAIN_REAL),
  },
  {
    env: 'SID',
    shape: SHAPES.twilio,
    host: HOST,
    places: [{ kind: 'basic' }],
    value: Buffer.from(HEADER_ONLY_REAL),
  },
  {
    env: 'AWAY',
    shape: SHAPES.openai,
    host: 'other.test',
    places: [{ kind: 'body' }],
    value: Buffer.from('away-away-away-away'),
  },
  { env: 'GONE', shape: SHAPES.openai, host: HOST, places: [{ kind: 'body' }], value: null },
];

const made = world(KEYS);
const OWN = placeholderPatterns(made.mine.bindings);
export const { holder, theirs } = made;

/** What went up, or the reason of the refusal; `used` after an `ok`. */
export type Sent = {
  readonly body: string;
  readonly reason: string | null;
  readonly used: readonly string[];
};

/** @param cuts lengths of the pieces, over and over; empty: one piece */
export function send(
  type: string | readonly string[] | null,
  body: string,
  cuts: readonly number[] = [],
): Sent {
  const types = type === null ? [] : typeof type === 'string' ? [type] : type;
  const swap = new BodySwap({ bindings: made.mine, at: authority(HOST), secure: true, own: OWN }, types);
  const shared = Buffer.alloc(Math.max(1, body.length));
  const out: (string | Buffer)[] = [];
  let sent = '';
  const take = (): void => {
    for (const piece of out.splice(0)) sent += typeof piece === 'string' ? piece : piece.toString('latin1');
    shared.fill(0x7e);
  };
  for (let at = 0, turn = 0; at < body.length; turn += 1) {
    const length = cuts.length === 0 ? body.length : (cuts[turn % cuts.length] ?? 1);
    const written = shared.write(body.slice(at, at + length), 'latin1');
    const why = swap.feed(shared.subarray(0, written), out);
    take();
    if (why !== null) return { body: sent, reason: why.reason, used: swap.used };
    at += length;
  }
  const why = swap.end(out);
  take();
  return { body: sent, reason: why?.reason ?? null, used: swap.used };
}

export function percentAll(text: string): string {
  return Array.from(
    text,
    (char) => `%${char.charCodeAt(0).toString(16).padStart(2, '0').toUpperCase()}`,
  ).join('');
}

export function jsonAll(text: string): string {
  return Array.from(text, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`).join('');
}
