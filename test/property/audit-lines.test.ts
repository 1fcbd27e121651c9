import { hash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EMPTY_HEAD, type HashHex, type Head, recordLine } from '../../src/audit/chain.ts';
import type { AuditEvent, DecisionEvent, EndEvent, OperatorEvent } from '../../src/audit/event.ts';
import { FlowWords } from '../../src/audit/flow-words.ts';
import { RecordText } from '../../src/audit/record-text.ts';
import { capField, redactPath } from '../../src/audit/redact.ts';
import { ChainVerifier, readLink } from '../../src/audit/verify.ts';
import { REASONS, type Reason } from '../../src/flow/reason.ts';

const sha: HashHex = (bytes) => hash('sha256', bytes, 'hex');
const AT = '2026-03-01T12:00:00.000Z';

/** Anything a sandbox could get into a string: control characters, lone surrogates, quotes, long ones. */
const hostile = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({
    unit: fc.constantFrom('"', '\\', '\n', '\r', '\u2028', '\ud800', '\udc00', '\x7f', '\x1b', '{', '?'),
  }),
  fc.integer({ min: 2040, max: 2056 }).map((length) => 'é'.repeat(length)),
);
const maybe = fc.option(hostile, { nil: null });
const reason: fc.Arbitrary<Reason | null> = fc.option(
  fc.constantFrom(...Object.keys(REASONS).filter((name): name is Reason => name in REASONS)),
  { nil: null },
);
const rule = fc.option(fc.record({ file: hostile, line: fc.nat(), text: hostile }), { nil: null });
const common = {
  stage: fc.constantFrom('connect', 'request'),
  flow: hostile,
  requestId: hostile,
  group: maybe,
  identity: maybe,
  client: hostile,
  via: fc.constantFrom('connect', 'absolute-form', 'socks5', null),
  host: maybe,
  port: fc.option(fc.integer({ min: 1, max: 65_535 }), { nil: null }),
  method: maybe,
  path: maybe,
  reason,
  treat: fc.constantFrom('tunnel', 'intercept', 'plain', null),
  keys: fc.array(hostile, { maxLength: 4 }),
  policy: hostile,
} as const;
const decisions: fc.Arbitrary<DecisionEvent> = fc.record({
  kind: fc.constant('decision'),
  ...common,
  verdict: fc.constantFrom('allow', 'deny', 'would_deny', 'approve'),
  rule,
  hostLabel: maybe,
});
const ends: fc.Arbitrary<EndEvent> = fc.record({
  kind: fc.constant('end'),
  ...common,
  status: fc.nat(999),
  bytesUp: fc.nat(),
  bytesDown: fc.nat(),
  ms: fc.double(),
  overheadMs: fc.option(fc.double(), { nil: null }),
  ended: fc.constantFrom('done', 'client_abort', 'upstream_abort', 'refused', 'timeout', 'cut', 'error'),
  scrubbed: fc.array(hostile, { maxLength: 2 }),
});
const events: fc.Arbitrary<DecisionEvent | EndEvent> = fc.oneof(decisions, ends);

const actions: fc.Arbitrary<OperatorEvent> = fc.record({
  kind: fc.constant('operator'),
  action: hostile,
  operator: hostile,
  origin: fc.constantFrom('api', 'cli', 'file', 'signal'),
  client: maybe,
  group: maybe,
  subject: maybe,
  outcome: fc.constantFrom('done', 'refused', 'failed'),
  why: maybe,
  actedAt: fc.nat(),
});

function lineOf(event: AuditEvent, after: Head = EMPTY_HEAD): string {
  return recordLine({ kind: event.kind, body: new RecordText().of(event, AT) }, after, null);
}

describe('any event with hostile strings', () => {
  it('gives one line of ASCII JSON that reads back as what was told', () => {
    fc.assert(
      fc.property(events, (event) => {
        const line = lineOf(event);
        expect(line).toMatch(/^[ -~]*$/);
        const capped = (text: string | null): string | null => (text === null ? null : capField(text));
        expect(JSON.parse(line)).toMatchObject({
          kind: event.kind,
          seq: 1,
          flow: capField(event.flow),
          request_id: capField(event.requestId),
          group: capped(event.group),
          identity: capped(event.identity),
          client: capField(event.client),
          via: event.via,
          host: capped(event.host),
          port: event.port,
          method: capped(event.method),
          path: event.path === null ? null : redactPath(event.path, event.reason),
          reason: event.reason,
          treat: event.treat,
          keys: event.keys.map(capField),
          policy: capField(event.policy),
          prev: EMPTY_HEAD.hash,
        });
      }),
      { numRuns: 300 },
    );
  });

  it('is written the same whatever its connection had written before', () => {
    const values = {
      stage: ['connect', 'request'],
      flow: ['A', 'B'],
      requestId: ['A', 'B'],
      group: [null, 'a'],
      identity: [null, 'a'],
      client: ['192.0.2.1', '192.0.2.2'],
      via: ['connect', 'socks5'],
      host: [null, 'a.test'],
      port: [80, 443],
      method: [null, 'GET'],
      path: [null, '/'],
      keys: [[], ['A_KEY']],
      policy: ['a', 'b'],
      kind: ['decision', 'end'],
    } as const;
    const rest = { reason: null, treat: null, verdict: 'allow', rule: null, hostLabel: null } as const;
    const ended = { status: 200, bytesUp: 0, bytesDown: 0, ms: 0, overheadMs: null, ended: 'done' } as const;
    const names = Object.keys(values) as (keyof typeof values)[];
    const text = new RecordText();
    // One field after the other: what is kept must be given up for each of them.
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...names), { maxLength: 40 }), (changes) => {
        const words = new FlowWords();
        const at = Object.fromEntries(names.map((name) => [name, 0]));
        for (const change of changes) {
          at[change] = 1 - (at[change] ?? 0);
          const fields = Object.fromEntries(names.map((name) => [name, values[name][at[name] ?? 0]]));
          const record = { ...rest, ...ended, scrubbed: [], ...fields } as unknown as AuditEvent;
          const fresh = new RecordText().of(record, AT);
          expect(text.of({ ...record, words } as AuditEvent, AT)).toBe(fresh);
        }
      }),
      { numRuns: 200 },
    );
  });

  it('gives one, too, of what an operator did', () => {
    fc.assert(
      fc.property(actions, (event) => {
        const line = lineOf(event);
        expect(line).toMatch(/^[ -~]*$/);
        const capped = (text: string | null): string | null => (text === null ? null : capField(text));
        const { action, operator, origin, client, group, subject, outcome, why } = event;
        expect(JSON.parse(line)).toEqual({
          kind: 'operator',
          seq: 1,
          at: AT,
          action: capField(action),
          operator: capField(operator),
          origin,
          client: capped(client),
          group: capped(group),
          subject: capped(subject),
          outcome,
          why: capped(why),
          acted_at: new Date(event.actedAt).toISOString(),
          prev: EMPTY_HEAD.hash,
        });
      }),
      { numRuns: 200 },
    );
  });

  it('keeps nothing of a query', () => {
    fc.assert(
      fc.property(hostile, fc.uuid(), (before, value) => {
        expect(redactPath(`/${before}?${value}`, null)).not.toContain(value);
      }),
    );
  });
});

describe('a chain of any events', () => {
  const chains = fc.array(events, { minLength: 2, maxLength: 6 }).map((list) => {
    let head = EMPTY_HEAD;
    return list.map((event) => {
      const line = lineOf(event, head);
      head = { seq: head.seq + 1, hash: sha(line) };
      return line;
    });
  });

  it('verifies as written, and not once any byte of any line is another', () => {
    fc.assert(
      fc.property(
        chains,
        fc.nat(),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        (lines, which, where, xor) => {
          const last = lines.at(-1) ?? '';
          const anchor = {
            head: { seq: lines.length, hash: sha(last) },
            start: { seq: 1, prev: EMPTY_HEAD.hash },
          };
          const walk = (all: readonly Uint8Array[]): unknown => {
            const verifier = new ChainVerifier(sha, anchor);
            for (const [index, bytes] of all.entries()) verifier.line({ file: 'f', line: index + 1 }, bytes);
            return verifier.finish().finding;
          };
          const all = lines.map((line) => Buffer.from(line, 'latin1'));
          expect(walk(all)).toBeNull();
          const touched = all[which % all.length] ?? Buffer.alloc(1);
          const at = where % touched.length;
          touched[at] = (touched[at] ?? 0) ^ xor;
          expect(walk(all)).not.toBeNull();
        },
      ),
      { numRuns: 200 },
    );
  });
});

describe('reading any bytes as a record', () => {
  it('gives a link or null, and never throws', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array(),
          fc.json().map((text) => Buffer.from(text)),
        ),
        (bytes) => {
          const link = readLink(bytes);
          if (link !== null) expect(Number.isSafeInteger(link.seq) && link.seq > 0).toBe(true);
        },
      ),
    );
  });
});
