/** Every row of the case files about bytes, judged by the wire layer alone. */
import { Buffer } from 'node:buffer';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Authority, Host } from '../../../src/flow/target.ts';
import { HelloReader } from '../../../src/wire/hello.ts';
import { checkHost, parseRequestTarget, type RequestHead } from '../../../src/wire/http1-parse.ts';
import { rebuildRequestHead, rebuildResponseHead } from '../../../src/wire/http1-write.ts';
import { sniff } from '../../../src/wire/sniff.ts';
import { feedInPieces, recordRequests, recordResponses } from './record.ts';

type Http1Row = {
  id: string;
  channel: 'proxy' | 'tunnel';
  group: string;
  expect: 'forward' | 'reject' | 'close';
  completeUpstreamRequests: number;
  rawBase64: string;
  why: string;
  tolerate?: string;
};
type ResponseRow = {
  id: string;
  request: string;
  expect: 'deliver' | 'bad_gateway' | 'abort' | 'deliver_and_close';
  rawBase64: string;
  why: string;
  tolerate?: string;
  check?: { policy?: string };
};
type HelloRow = {
  id: string;
  name: string;
  connect: string;
  expect: 'allow' | 'deny';
  rawBase64: string;
  sendInSegmentsOf?: number;
  tolerate?: string;
};

const load = (name: string): unknown => JSON.parse(readFileSync(`test/cases/${name}.json`, 'utf8'));
const UP: Authority = { host: 'up.test' as Host, kind: 'name', port: 443 };

/** What the stages do with a head, as far as it is about bytes: `pass`, or why not. */
function judge(channel: 'proxy' | 'tunnel', head: RequestHead): string {
  const target = parseRequestTarget(head);
  if ('kind' in target) return target.reason;
  if (channel === 'tunnel') {
    if (target.form !== 'origin') return 'bad_request';
    return checkHost(head, UP, 443)?.reason ?? 'pass';
  }
  if (target.form === 'origin' || target.form === 'asterisk') return 'self';
  const { authority } = target;
  if (authority.host !== UP.host) return 'policy';
  if (target.form === 'authority') return checkHost(head, authority, authority.port)?.reason ?? 'tunnel';
  return checkHost(head, authority, 80)?.reason ?? 'pass';
}

function runRequests(row: Http1Row, sizes: readonly number[]): { passed: number; refused: string | null } {
  const { reader, heads, events } = recordRequests(true);
  const raw = Buffer.from(row.rawBase64, 'base64');
  if (sniff(raw) !== 'http1') return { passed: 0, refused: 'sniffed' };
  feedInPieces(reader, raw, sizes);
  reader.finish();
  let passed = 0;
  let refused: string | null = null;
  for (const [index, head] of heads.entries()) {
    const verdict = judge(row.channel, head);
    if (verdict !== 'pass') return { passed, refused: verdict };
    // The bytes behind an upgrade are the other protocol's, if any: the stage holds them.
    if (head.upgrade === 'websocket') return { passed: passed + 1, refused };
    if (events.filter((event) => event === 'end').length > index) passed++;
  }
  refused ??= events.some((event) => event.startsWith('fault')) ? 'fault' : null;
  return { passed, refused };
}

describe('http1.json', () => {
  const rows = load('http1') as Http1Row[];

  it.each(rows.map((row) => [row.id, row] as const))('%s', (_id, row) => {
    for (const sizes of [[], [1], [7, 3]]) {
      const { passed, refused } = runRequests(row, sizes);
      if (row.expect === 'forward') {
        const asExpected = passed === row.completeUpstreamRequests;
        expect(asExpected || (row.tolerate === 'reject' && refused !== null), row.why).toBe(true);
      } else {
        expect(passed, row.why).toBe(row.completeUpstreamRequests);
        expect(refused, row.why).not.toBeNull();
      }
    }
  });

  it('sends on nothing that it would refuse itself', () => {
    for (const row of rows.filter((each) => each.expect === 'forward')) {
      const { reader, heads } = recordRequests(true);
      feedInPieces(reader, Buffer.from(row.rawBase64, 'base64'), []);
      for (const head of heads) {
        const again = recordRequests(true);
        const text = rebuildRequestHead(head, { path: '/', host: 'up.test', dropOverrides: true });
        again.reader.feed(Buffer.from(text, 'latin1'));
        expect(again.heads, row.id).toHaveLength(1);
        expect(again.heads[0]).toMatchObject({ framing: head.framing, host: 'up.test', upgrade: null });
      }
    }
  });
});

describe('responses.json', () => {
  const rows = load('responses') as ResponseRow[];

  it.each(rows.map((row) => [row.id, row] as const))('%s', (_id, row) => {
    for (const sizes of [[], [1], [5, 11]]) {
      const { reader, heads, events } = recordResponses();
      reader.expect(row.request);
      feedInPieces(reader, Buffer.from(row.rawBase64, 'base64'), sizes);
      reader.finish();
      const faulted = events.some((event) => event.startsWith('fault'));
      const [head] = heads;
      let verdict: string = 'deliver';
      if (faulted) verdict = head === undefined ? 'bad_gateway' : 'abort';
      else if (reader.surplus) verdict = 'deliver_and_close';
      // A lying Content-Encoding is the scrubber's to find, not the parser's.
      if (row.check?.policy !== undefined) continue;
      expect([row.expect, row.tolerate], `${row.why}: ${events.join(', ').slice(0, 200)}`).toContain(verdict);
      if (head === undefined) continue;
      const text = rebuildResponseHead(head, { keepAlive: true, framing: head.framing });
      expect(text.toLowerCase()).not.toMatch(/\r\n(?:alt-svc|proxy-|trailer|keep-alive)/);
    }
  });
});

describe('clienthello.json', () => {
  const rows = load('clienthello') as HelloRow[];

  it.each(rows.map((row) => [`${row.id} ${row.name}`, row] as const))('%s', (_id, row) => {
    const raw = Buffer.from(row.rawBase64, 'base64');
    for (const size of [raw.length, row.sendInSegmentsOf ?? 1, 100]) {
      const reader = new HelloReader();
      let answer = reader.feed(Buffer.alloc(0));
      for (let at = 0; at < raw.length; at += size) answer = reader.feed(raw.subarray(at, at + size));
      const allowed = answer.kind === 'hello' && `${answer.sni}:443` === row.connect;
      expect([row.expect, row.tolerate]).toContain(allowed ? 'allow' : 'deny');
      if (answer.kind === 'hello') expect(answer.bytes.equals(raw)).toBe(true);
    }
  });
});
