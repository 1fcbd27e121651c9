/**
 * What a peer may do on one HTTP/2 connection that costs it little and us much: resets (CVE-2023-44487), faults that
 * make us reset (CVE-2025-8671), CONTINUATION without end (CVE-2024-27983), SETTINGS, PING, PRIORITY, WINDOW_UPDATE and
 * empty DATA floods (CVE-2019-9511 to 9518). Each kind has a budget that refills with time. Pure; time is an argument.
 */
import { FLAG, FRAME, type Frame } from './h2-frames.ts';

type Budget = { readonly burst: number; readonly perSecond: number };

/** Honest clients stay far below: gRPC pings with its bandwidth probes, browsers cancel pages full of streams. */
export const H2_BUDGETS = {
  reset: { burst: 200, perSecond: 50 },
  fault: { burst: 50, perSecond: 5 },
  ping: { burst: 300, perSecond: 50 },
  settings: { burst: 30, perSecond: 2 },
  empty: { burst: 100, perSecond: 10 },
  window: { burst: 2_000, perSecond: 500 },
  other: { burst: 300, perSecond: 50 },
} as const satisfies Record<string, Budget>;

export type H2Abuse = keyof typeof H2_BUDGETS | 'continuation' | 'waiting';

/** Frames of one header section behind its first, and their bytes in all. */
const MAX_CONTINUATIONS = 8;
const MAX_SECTION_BYTES = 65_536;
/** Of RST_STREAM: what we say when the peer broke the protocol. */
const FAULT_CODES: ReadonlySet<number> = new Set([1, 3, 5, 6, 9, 11]);

type Level = { used: number; at: number };

export class AbuseMeter {
  readonly #levels = new Map<keyof typeof H2_BUDGETS, Level>();
  #continuations = 0;
  #sectionBytes = 0;
  #sectionSince = 0;

  /** When the header section that has not ended began, milliseconds; 0: none is open. */
  get sectionSince(): number {
    return this.#sectionSince;
  }

  /** A frame from the peer. @returns what there is too much of, or null */
  came(frame: Frame, now: number): H2Abuse | null {
    if (frame.type === FRAME.headers || frame.type === FRAME.continuation) return this.#section(frame, now);
    const kind = kindOf(frame);
    return kind === null ? null : this.#spend(kind, now);
  }

  /** A frame of ours. @returns as `came` */
  sent(frame: Frame, now: number): H2Abuse | null {
    if (frame.type === FRAME.reset && FAULT_CODES.has(frame.code)) return this.#spend('fault', now);
    // Who gets data has to open windows: one for the stream, one for the connection.
    if (frame.type === FRAME.data) this.#refund('window', 2);
    return null;
  }

  #section(frame: Frame, now: number): H2Abuse | null {
    if (frame.type === FRAME.headers) {
      this.#continuations = 0;
      this.#sectionBytes = 0;
      this.#sectionSince = now;
    } else this.#continuations += 1;
    this.#sectionBytes += frame.length;
    if ((frame.flags & FLAG.endHeaders) !== 0) this.#sectionSince = 0;
    const over = this.#continuations > MAX_CONTINUATIONS || this.#sectionBytes > MAX_SECTION_BYTES;
    return over ? 'continuation' : null;
  }

  #spend(kind: keyof typeof H2_BUDGETS, now: number): H2Abuse | null {
    const { burst, perSecond } = H2_BUDGETS[kind];
    const level = this.#levels.get(kind) ?? { used: 0, at: now };
    level.used = Math.max(0, level.used - ((now - level.at) * perSecond) / 1000) + 1;
    level.at = now;
    this.#levels.set(kind, level);
    return level.used > burst ? kind : null;
  }

  #refund(kind: keyof typeof H2_BUDGETS, count: number): void {
    const level = this.#levels.get(kind);
    if (level !== undefined) level.used = Math.max(0, level.used - count);
  }
}

function kindOf(frame: Frame): keyof typeof H2_BUDGETS | null {
  switch (frame.type) {
    case FRAME.data:
      return frame.length === 0 && (frame.flags & FLAG.endStream) === 0 ? 'empty' : null;
    case FRAME.reset:
      return 'reset';
    case FRAME.settings:
      return (frame.flags & FLAG.ack) === 0 ? 'settings' : null;
    case FRAME.ping:
      return (frame.flags & FLAG.ack) === 0 ? 'ping' : null;
    case FRAME.window:
      return 'window';
    case FRAME.goaway:
    case FRAME.push:
      return null;
    default:
      return 'other';
  }
}
