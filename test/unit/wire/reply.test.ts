import { Buffer } from 'node:buffer';
import { describe, expect, it } from 'vitest';
import { type Denied, denied, REASONS, type Reason } from '../../../src/flow/reason.ts';
import {
  connectEstablished,
  type Refusal,
  refusal,
  simpleReply,
  socks5Login,
  socks5Method,
  socks5Refusal,
  socks5Reply,
} from '../../../src/wire/reply.ts';
import { recordResponses } from './record.ts';

const reasons = Object.keys(REASONS) as Reason[];

function told(
  to: Denied,
  more: Partial<Refusal> = {},
): { line: string; fields: Map<string, string>; body: string } {
  const bytes = refusal({
    denied: to,
    requestId: '01KABC',
    group: 'g',
    host: 'up.test:443',
    close: true,
    ...more,
  });
  const [head = '', body = ''] = bytes.toString('latin1').split('\r\n\r\n');
  const [line = '', ...lines] = head.split('\r\n');
  const fields = new Map(
    lines.map((each) => [each.slice(0, each.indexOf(':')), each.slice(each.indexOf(':') + 2)]),
  );
  return { line, fields, body };
}

describe('refusal', () => {
  it('carries reason and request id in the status line and the problem in the body', () => {
    const { line, fields, body } = told(denied('host_not_allowed', 'No rule allows it.'));
    expect(line).toBe('HTTP/1.1 403 host_not_allowed 01KABC');
    expect(JSON.parse(body)).toEqual({
      type: 'urn:sallyport:reason:host_not_allowed',
      title: 'Host not allowed',
      status: 403,
      reason: 'host_not_allowed',
      group: 'g',
      host: 'up.test:443',
      error: 'sallyport: host_not_allowed: up.test:443',
      detail: 'No rule allows it.',
      request_id: '01KABC',
    });
    expect(fields.get('Content-Type')).toBe('application/problem+json');
    expect(fields.get('Content-Length')).toBe(String(body.length));
    expect(fields.get('Proxy-Status')).toBe(
      'sallyport; error=http_request_denied; details="host_not_allowed"',
    );
    expect(fields.get('X-Should-Retry')).toBe('false');
    expect(fields.has('Retry-After')).toBe(false);
    expect(fields.get('Connection')).toBe('close');
  });

  it.each(reasons)('%s is a well-formed response that its own parser takes', (reason) => {
    const { reader, events } = recordResponses();
    reader.expect('GET');
    const bytes = refusal({ denied: denied(reason), requestId: 'r', group: null, host: null, close: false });
    reader.feed(bytes);
    // Our own 407 is exactly what must never come from an upstream.
    const { status, retry } = REASONS[reason];
    expect(events[0]).toBe(status === 407 ? 'fault upstream_bad_response' : `${status} length`);
    if (status !== 407) expect(events.at(-1)).toBe('end');
    const { fields, body } = told(denied(reason), { close: false, group: null, host: null });
    expect(fields.has('Proxy-Authenticate')).toBe(status === 407);
    expect(fields.has('Allow')).toBe(status === 405);
    expect(fields.has('X-Should-Retry')).toBe(!retry);
    expect(fields.has('Retry-After')).toBe(retry);
    expect(fields.has('Connection')).toBe(false);
    expect(JSON.parse(body)).toMatchObject({ reason, status, detail: `${REASONS[reason].title}.` });
    expect(JSON.parse(body)).not.toHaveProperty('host');
  });

  it('allows what the refusal says, where it says so', () => {
    const at = { close: false, group: null, host: null };
    const narrow = told({ ...denied('method_refused'), allow: 'GET, HEAD' }, at);
    expect(narrow.fields.get('Allow')).toBe('GET, HEAD');
    expect(told(denied('method_refused'), at).fields.get('Allow')).toContain('POST');
  });

  it('rounds Retry-After up to whole seconds', () => {
    const retryAfter = (retryAfterMs: number): string | undefined =>
      told({ ...denied('rate_limited'), retryAfterMs }).fields.get('Retry-After');
    expect([0, 1, 1_000, 1_001].map(retryAfter)).toEqual(['1', '1', '1', '2']);
    expect(told({ ...denied('budget_spent'), retryAfterMs: 5_000 }).fields.get('Retry-After')).toBe('5');
  });

  it('escapes what comes from attackers to printable ASCII and shortens it', () => {
    const hostile = 'a\r\nX-Evil: 1\u001b[2K\0"\\\u00e9\u2028\ud800\u007f';
    const { line, fields, body } = told(denied('bad_authority', hostile), {
      host: hostile,
      group: hostile,
      requestId: 'id\r\nX: 1 "',
    });
    expect(line).toBe('HTTP/1.1 400 bad_authority idX1');
    expect(fields.has('X-Evil')).toBe(false);
    expect(body).toMatch(/^[\x20-\x7e]*\n$/);
    expect(JSON.parse(body)).toMatchObject({ host: hostile, detail: hostile });
    expect(told(denied('bad_authority'), { host: 'x'.repeat(100_000) }).body.length).toBeLessThan(1_500);
  });

  it('leaves the body out for HEAD but tells its length', () => {
    const { fields, body } = told(denied('rule_denied'), { headOnly: true });
    expect(body).toBe('');
    expect(Number(fields.get('Content-Length'))).toBeGreaterThan(100);
  });
});

describe('the other answers', () => {
  it('opens a CONNECT without a body', () => {
    expect(connectEstablished().toString()).toBe('HTTP/1.1 200 Connection Established\r\n\r\n');
  });

  it('answers SOCKS5 in what the client waits for', () => {
    expect([...socks5Method(0x02)]).toEqual([5, 2]);
    expect([...socks5Login(true)]).toEqual([1, 0]);
    expect([...socks5Reply(0)]).toEqual([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    const why = denied('dns_failed');
    expect([...socks5Refusal('greeting', why)]).toEqual([5, 0xff]);
    expect([...socks5Refusal('login', why)]).toEqual([1, 1]);
    expect([...socks5Refusal('request', why)]).toEqual([5, 4, 0, 1, 0, 0, 0, 0, 0, 0]);
  });

  it('never tells success in a SOCKS5 refusal', () => {
    for (const row of Object.values(REASONS)) expect(row.socks).toBeGreaterThan(0);
  });

  it('answers for the proxy itself', () => {
    const reply = simpleReply({
      status: 200,
      type: 'text/plain',
      body: 'h\u00e9',
      close: false,
      extra: { 'X-A': 'b' },
    });
    expect(reply.toString()).toBe(
      'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nCache-Control: no-store\r\nX-A: b\r\n\r\nh\u00e9',
    );
    const head = simpleReply({
      status: 404,
      type: 'text/plain',
      body: Buffer.from('no'),
      close: true,
      headOnly: true,
    });
    expect(head.toString()).toBe(
      'HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n',
    );
  });

  it('throws rather than break its own head', () => {
    const reply = (extra: Record<string, string>): Buffer =>
      simpleReply({ status: 200, type: 'text/plain', body: '', close: false, extra });
    expect(() => reply({ 'X-A': 'b\r\nX: 1' })).toThrow(TypeError);
    expect(() => reply({ 'X A': 'b' })).toThrow(TypeError);
  });
});
