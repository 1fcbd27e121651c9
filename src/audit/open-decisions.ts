/**
 * What a crash left open: decisions whose end never reached the file. The next writer of the chain ends them as
 * `crash`, so that every decision has one end (invariant I4). Called by `recover.ts`, after a crash alone.
 * An end stands behind its decision, so whatever part of the tail is read, none is ever ended twice.
 */
import { isReason, type Reason, type RuleRef } from '../flow/reason.ts';
import type { Via } from '../flow/target.ts';
import type { Treat } from '../flow/verdict.ts';
import type { DecisionEvent, EndEvent } from './event.ts';
import type { AuditFile } from './files.ts';
import { eachLine } from './lines.ts';

/** How far back is read, and how many are kept: what is older, or more, stays without an end. */
const MAX_SCAN_BYTES = 64 * 1_048_576;
const MAX_OPEN = 50_000;

const VIAS: readonly Via[] = [
  'connect',
  'absolute-form',
  'socks5',
  'transparent-tls',
  'transparent-http',
  'transparent-dns',
];
const TREATS: readonly Treat[] = ['tunnel', 'intercept', 'plain'];
const VERDICTS: readonly DecisionEvent['verdict'][] = ['allow', 'deny', 'would_deny', 'approve'];
const STAGES: readonly DecisionEvent['stage'][] = ['connect', 'request'];

type Fields = ReadonlyMap<string, unknown>;

/**
 * The ends that are missing, oldest first. `files`: those of the chain, mended, in its order; `skipped`: more were
 * open than are kept. Status, bytes and times are not known and stand as 0. Throws the file system's error.
 */
export function openDecisions(files: readonly (AuditFile & { readonly size: number })[]): {
  readonly ends: readonly EndEvent[];
  readonly skipped: number;
} {
  const open = new Map<string, EndEvent>();
  let skipped = 0;
  for (const { path, from } of tailOf(files)) {
    eachLine(
      path,
      (line) => {
        const fields = fieldsOf(line);
        if (fields === null) return;
        const key = JSON.stringify([fields.get('stage'), fields.get('flow'), fields.get('request_id')]);
        const kind = fields.get('kind');
        if (kind === 'end') open.delete(key);
        else if (kind !== 'decision') return;
        else if (open.size < MAX_OPEN) open.set(key, endOf(fields));
        else skipped += 1;
      },
      from,
    );
  }
  return { ends: [...open.values()], skipped };
}

/** The last part of the chain: whole files, and of the oldest one its end. */
function tailOf(
  files: readonly (AuditFile & { readonly size: number })[],
): readonly { readonly path: string; readonly from: number }[] {
  const parts: { path: string; from: number }[] = [];
  let left = MAX_SCAN_BYTES;
  for (const { path, size } of files.toReversed()) {
    if (left <= 0) break;
    parts.unshift({ path, from: Math.max(0, size - left) });
    left -= size;
  }
  return parts;
}

/** null: no record, such as the rest of a line that a part begins with. */
function fieldsOf(line: Uint8Array): Fields | null {
  try {
    const value: unknown = JSON.parse(Buffer.from(line).toString('latin1'));
    return typeof value === 'object' && value !== null ? new Map(Object.entries(value)) : null;
  } catch {
    return null; // `audit verify` finds fault with it, where it stands behind a line end
  }
}

function endOf(fields: Fields): EndEvent {
  const text = (name: string): string | null => textOf(fields.get(name));
  const port = fields.get('port');
  const keys = fields.get('keys');
  return {
    kind: 'end',
    stage: oneOf(STAGES, fields.get('stage')) ?? 'request',
    flow: text('flow') ?? '',
    requestId: text('request_id') ?? '',
    group: text('group'),
    identity: text('identity'),
    client: text('client') ?? '',
    via: oneOf(VIAS, fields.get('via')),
    host: text('host'),
    port: typeof port === 'number' ? port : null,
    method: text('method'),
    path: text('path'),
    treat: oneOf(TREATS, fields.get('treat')),
    reason: reasonOf(fields.get('reason')),
    status: 0,
    bytesUp: 0,
    bytesDown: 0,
    ms: 0,
    overheadMs: null,
    ended: 'crash',
    verdict: oneOf(VERDICTS, fields.get('verdict')),
    rule: ruleOf(fields.get('rule')),
    keys: Array.isArray(keys) ? keys.filter((key) => typeof key === 'string') : [],
    scrubbed: [],
    policy: text('policy') ?? '',
  };
}

function ruleOf(value: unknown): RuleRef | null {
  if (typeof value !== 'object' || value === null || !('file' in value && 'line' in value && 'text' in value))
    return null;
  const { file, line, text } = value;
  if (typeof file !== 'string' || typeof line !== 'number' || typeof text !== 'string') return null;
  return { file, line, text };
}

function reasonOf(value: unknown): Reason | null {
  return typeof value === 'string' && isReason(value) ? value : null;
}

function oneOf<T extends string>(words: readonly T[], value: unknown): T | null {
  return words.find((word) => word === value) ?? null;
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}
