/**
 * The written form of the record: one line of ASCII JSON each, chained by `prev`, the SHA-256 of the line
 * before without its newline. Built by hand because it is on every request's way: JSON.stringify runs only
 * for strings that need escapes. Field names and order: contract section 11. Read back by `verify.ts`.
 */
import type { RuleRef } from '../flow/reason.ts';
import type { AuditEvent, DecisionEvent, EndEvent } from './event.ts';
import { capField, MAX_FIELD_CHARS, redactPath } from './redact.ts';

/** SHA-256 in lower-case hex. */
export type HashHex = (bytes: string | Uint8Array) => string;

/** The last record so far. */
export type Head = {
  /** 0: no record yet */
  readonly seq: number;
  /** hash of its line; GENESIS when there is none */
  readonly hash: string;
};

/** `prev` of an install's first record. */
export const GENESIS = '0'.repeat(64);

export const EMPTY_HEAD: Head = { seq: 0, hash: GENESIS };

/** Longer lines are never written: a reader may refuse them. */
export const MAX_LINE_BYTES = 1_048_576;

/** Printable ASCII without `"` and `\`: stands in JSON as it is. */
const PLAIN = /^[ !#-[\]-~]*$/;
const BEYOND_ASCII = /[\x7f-\uffff]/g;

/** Puts one text into JSON. */
type Quote = (text: string) => string;

/**
 * Everything of a record but its place in the chain. `at`: ISO 8601 with milliseconds. Paths lose their
 * query values here, so no caller can forget it.
 */
export function recordBody(event: AuditEvent, at: string): string {
  const path = event.path === null ? null : redactPath(event.path, event.reason);
  const quote = allPlain(event, path ?? '') ? bare : quoted;
  const common =
    `,"at":"${at}","stage":"${event.stage}","flow":${quote(event.flow)}` +
    `,"request_id":${quote(event.requestId)},"group":${orNull(event.group, quote)}` +
    `,"identity":${orNull(event.identity, quote)},"client":${quote(event.client)}` +
    `,"via":${orNull(event.via, bare)},"host":${orNull(event.host, quote)},"port":${event.port ?? 'null'}` +
    `,"method":${orNull(event.method, quote)},"path":${orNull(path, quote)}`;
  const rest = event.kind === 'decision' ? decisionBody(common, event) : endBody(common, event);
  return `${rest},"policy":${quote(event.policy)}`;
}

/** One whole line without its newline. `note`: what the writer had to do before this record. */
export function recordLine(
  record: { readonly kind: AuditEvent['kind']; readonly body: string },
  after: Head,
  note: string | null,
): string {
  const noted = note === null ? '' : `,"note":${quoted(note)}`;
  return `{"kind":"${record.kind}","seq":${after.seq + 1}${record.body}${noted},"prev":"${after.hash}"}`;
}

/** The lines of a batch and the head after them. `note` goes into the first record. */
export function formBatch(
  records: readonly { readonly kind: AuditEvent['kind']; readonly body: string }[],
  after: Head,
  how: { readonly hash: HashHex; readonly note: string | null },
): { readonly text: string; readonly head: Head } {
  let head = after;
  let text = '';
  let { note } = how;
  for (const record of records) {
    const line = recordLine(record, head, note);
    note = null;
    head = { seq: head.seq + 1, hash: how.hash(line) };
    text += `${line}\n`;
  }
  return { text, head };
}

function decisionBody(common: string, event: DecisionEvent): string {
  return (
    `${common},"verdict":"${event.verdict}","reason":${orNull(event.reason, bare)}` +
    `,"rule":${ruleText(event.rule)},"treat":${orNull(event.treat, bare)},"keys":${list(event.keys)}`
  );
}

function endBody(common: string, event: EndEvent): string {
  return (
    `${common},"verdict":${orNull(event.verdict ?? null, bare)},"reason":${orNull(event.reason, bare)}` +
    `,"rule":${ruleText(event.rule ?? null)},"treat":${orNull(event.treat, bare)},"keys":${list(event.keys)}` +
    `,"status":${count(event.status)},"bytes_up":${count(event.bytesUp)},"bytes_down":${count(event.bytesDown)}` +
    `,"ms":${millis(event.ms)},"overhead_ms":${event.overheadMs === null ? 'null' : millis(event.overheadMs)}` +
    `,"ended":"${event.ended}","scrubbed":${list(event.scrubbed)}`
  );
}

/** One test over all texts that come from outside the closed sets: most records pass, and need no other. */
function allPlain(event: AuditEvent, path: string): boolean {
  const words =
    event.flow +
    event.requestId +
    (event.group ?? '') +
    (event.identity ?? '') +
    event.client +
    (event.host ?? '') +
    (event.method ?? '') +
    path +
    event.policy;
  return words.length <= MAX_FIELD_CHARS && PLAIN.test(words);
}

/** Only for what `allPlain` passed and for words of closed sets. */
function bare(text: string): string {
  return `"${text}"`;
}

function orNull(text: string | null, quote: Quote): string {
  return text === null ? 'null' : quote(text);
}

/** A JSON string of ASCII only, so that a line's bytes and characters are the same and terminals stay safe. */
function quoted(text: string): string {
  const capped = capField(text);
  if (PLAIN.test(capped)) return `"${capped}"`;
  return JSON.stringify(capped).replace(BEYOND_ASCII, escapeUnit);
}

function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

function list(names: readonly string[]): string {
  return names.length === 0 ? '[]' : `[${names.map(quoted).join(',')}]`;
}

function ruleText(rule: RuleRef | null): string {
  if (rule === null) return 'null';
  return `{"file":${quoted(rule.file)},"line":${rule.line},"text":${quoted(rule.text)}}`;
}

/** Microsecond grain: more digits are noise and cost bytes. NaN and infinities are not JSON. */
function millis(value: number): number {
  const rounded = Math.round(value * 1000) / 1000;
  return Number.isFinite(rounded) ? rounded : 0;
}

function count(value: number): number {
  return Number.isFinite(value) ? value : 0;
}
