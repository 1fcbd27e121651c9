/**
 * The body of a record: one event as ASCII JSON fields. Built by hand because it is on every request's way.
 * What all records of a connection share, and what a rule says of itself, is put together once and kept:
 * half the work of a record, and most of its garbage, would be to write the same words again. Pure.
 */
import type { RuleRef } from '../flow/reason.ts';
import type { AuditEvent, DecisionEvent, EndEvent, OperatorEvent } from './event.ts';
import type { AskedText, SharedText } from './flow-words.ts';
import { capField, redactPath } from './redact.ts';

/** Printable ASCII without `"` and `\`: stands in JSON as it is. */
const PLAIN = /^[ !#-[\]-~]*$/;
const BEYOND_ASCII = /[\x7f-\uffff]/g;

export class RecordText {
  readonly #rules = new WeakMap<RuleRef, string>();

  /**
   * Everything of a record but its place in the chain. `at`: ISO 8601 with milliseconds. Paths lose their
   * query values here, so no caller can forget it.
   */
  of(event: AuditEvent, at: string): string {
    if (event.kind === 'operator') return operatorText(event, at);
    const shared = sharedOf(event);
    const rule = this.#rule(event.rule ?? null);
    if (event.kind === 'decision') {
      const asked = askedOf(shared, event);
      shared.request = asked;
      return `,"at":"${at}"${asked.text}${decisionText(event, rule, asked.keysText)}${shared.tail}`;
    }
    const before = shared.request;
    // Not kept any longer: a path may hold on to the whole head that it was cut from.
    shared.request = null;
    const asked = before !== null && isSame(before, event) ? before : askedOf(shared, event);
    return `,"at":"${at}"${asked.text}${endText(event, rule, asked.keysText)}${shared.tail}`;
  }

  #rule(rule: RuleRef | null): string {
    if (rule === null) return 'null';
    const known = this.#rules.get(rule);
    if (known !== undefined) return known;
    const file = quoted(rule.file);
    const text = inOne(['{"file":', file, ',"line":', rule.line, ',"text":', quoted(rule.text), '}']);
    this.#rules.set(rule, text);
    return text;
  }
}

/** A JSON string of ASCII only, so that a line's bytes and characters are the same and terminals stay safe. */
export function quoted(text: string): string {
  const capped = capField(text);
  if (PLAIN.test(capped)) return `"${capped}"`;
  return JSON.stringify(capped).replace(BEYOND_ASCII, escapeUnit);
}

/** What other records of the connection said already, or said anew. */
function sharedOf(event: DecisionEvent | EndEvent): SharedText {
  const known = event.words?.shared ?? null;
  if (known !== null && stillHolds(known, event)) return known;
  const made = makeShared(event);
  if (event.words !== undefined) event.words.shared = made;
  return made;
}

function makeShared(event: DecisionEvent | EndEvent): SharedText {
  const { group, identity, client, via, host, port, policy, stage, flow } = event;
  const who = [',"group":', orNull(group), ',"identity":', orNull(identity), ',"client":', quoted(client)];
  const where = [',"via":', orNull(via), ',"host":', orNull(host), ',"port":', port ?? 'null'];
  const head = inOne([',"stage":"', stage, '","flow":', quoted(flow), ',"request_id":']);
  const middle = inOne([...who, ...where]);
  const tail = inOne([',"policy":', quoted(policy)]);
  return { group, identity, client, via, host, port, policy, stage, flow, head, middle, tail, request: null };
}

/** Text that is put together by `+` is a tree of its pieces, walked each time that a record with it is written. */
function inOne(pieces: readonly (string | number)[]): string {
  return pieces.join('');
}

function askedOf(shared: SharedText, event: DecisionEvent | EndEvent): AskedText {
  const { requestId, method, path, keys } = event;
  const pathText = path === null ? 'null' : quoted(redactPath(path, event.reason));
  const text = `${shared.head}${quoted(requestId)}${shared.middle},"method":${orNull(method)},"path":${pathText}`;
  return { requestId, method, path, keys, text, keysText: list(keys) };
}

function isSame(asked: AskedText, event: EndEvent): boolean {
  return (
    asked.requestId === event.requestId &&
    asked.path === event.path &&
    asked.method === event.method &&
    asked.keys === event.keys &&
    event.reason === null
  );
}

function stillHolds(known: SharedText, event: DecisionEvent | EndEvent): boolean {
  return (
    known.host === event.host &&
    known.identity === event.identity &&
    known.stage === event.stage &&
    known.flow === event.flow &&
    known.port === event.port &&
    known.group === event.group &&
    known.client === event.client &&
    known.via === event.via &&
    known.policy === event.policy
  );
}

function decisionText(event: DecisionEvent, rule: string, keys: string): string {
  return (
    `,"verdict":"${event.verdict}","reason":${word(event.reason)},"rule":${rule}` +
    `,"treat":${word(event.treat)},"keys":${keys}${ruling(event.approval)}`
  );
}

function ruling(by: DecisionEvent['approval']): string {
  return by === undefined ? '' : `,"approval":{"id":${quoted(by.id)},"by":${quoted(by.by)}}`;
}

function endText(event: EndEvent, rule: string, keys: string): string {
  return (
    `,"verdict":${word(event.verdict ?? null)},"reason":${word(event.reason)},"rule":${rule}` +
    `,"treat":${word(event.treat)},"keys":${keys}` +
    `,"status":${count(event.status)},"bytes_up":${count(event.bytesUp)},"bytes_down":${count(event.bytesDown)}` +
    `,"ms":${millis(event.ms)},"overhead_ms":${event.overheadMs === null ? 'null' : millis(event.overheadMs)}` +
    `,"ended":"${event.ended}","scrubbed":${list(event.scrubbed)}`
  );
}

function operatorText(event: OperatorEvent, at: string): string {
  const { client, group, subject, outcome, why, actedAt } = event;
  return (
    `,"at":"${at}","action":${quoted(event.action)},"operator":${quoted(event.operator)}` +
    `,"origin":"${event.origin}","client":${orNull(client)},"group":${orNull(group)}` +
    `,"subject":${orNull(subject)},"outcome":"${outcome}","why":${orNull(why)}` +
    `,"acted_at":"${new Date(actedAt).toISOString()}"` +
    (event.replica === undefined ? '' : `,"replica":${quoted(event.replica)}`)
  );
}

/** Of a closed set: needs no escapes. */
function word(text: string | null): string {
  return text === null ? 'null' : `"${text}"`;
}

function orNull(text: string | null): string {
  return text === null ? 'null' : quoted(text);
}

function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

function list(names: readonly string[]): string {
  const [first, second] = names;
  if (first === undefined) return '[]';
  return second === undefined ? `[${quoted(first)}]` : `[${names.map(quoted).join(',')}]`;
}

/** `.001` to `.999`, and nothing for a whole number: fractions take ten times as long to be written as these. */
const FRACTIONS: readonly string[] = Array.from({ length: 1000 }, (_, micros) =>
  String(micros / 1000).slice(1),
);

/** Microsecond grain: more digits are noise and cost bytes. NaN and infinities are not JSON. */
function millis(value: number): string {
  const micros = Math.round(value * 1000);
  if (!Number.isSafeInteger(micros)) return '0';
  if (micros < 0) return String(micros / 1000);
  return `${Math.floor(micros / 1000)}${FRACTIONS[micros % 1000] ?? ''}`;
}

function count(value: number): number {
  return Number.isFinite(value) ? value : 0;
}
