/** What `openAuditTrail` is told; the defaults are those of an install. */
import type { Clock } from '../base/clock.ts';
import type { HashHex } from './chain.ts';
import type { AuditFs } from './segment.ts';

export type AuditTrailOptions = {
  /** the audit folder; made when missing, 0700 */
  readonly dir: string;
  /** the checkpoint's signing key; default: `DIR.key` beside the folder */
  readonly keyPath?: string;
  /** `batch`: on the disk within 200 ms; `always`: before `written` is called */
  readonly sync: 'batch' | 'always';
  readonly clock: Clock;
  readonly hash?: HashHex;
  /** whole days older than this are deleted, milliseconds; default: never */
  readonly retainMs?: number;
  /** called for each failed write, refused backlog, lost end, and tampering that was noticed */
  readonly onFailure?: (error: Error) => void;
  readonly fs?: AuditFs;
  /** a file is closed and a new one begun at this size */
  readonly maxFileBytes?: number;
};
