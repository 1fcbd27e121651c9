import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { openTokenStore, type TokenStore } from '../../../src/identify/token.ts';

const T0 = Date.UTC(2026, 0, 1);
const DAY = 86_400_000;

let dir: string;
let now: number;
let mono: number;
let stores: TokenStore[];
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'tokens-'));
  now = T0;
  mono = 0;
  stores = [];
});
afterEach(() => {
  vi.useRealTimers();
  for (const store of stores) store.close();
  rmSync(dir, { recursive: true, force: true });
});

function open(
  opts: { watch?: boolean; onProblem?: (message: string) => void; dir?: string } = {},
): TokenStore {
  const clock = { now: () => now, mono: () => mono };
  const store = openTokenStore({ dir, clock, watch: false, ...opts });
  stores.push(store);
  return store;
}

const file = (): string => join(dir, 'tokens.json');
const content = (): string => readFileSync(file(), 'utf8');

describe('an issued token', () => {
  it('identifies its record, and nothing else does', () => {
    const store = open();
    const { record, token } = store.create({ group: 'g', name: 'ci' });
    const other = store.create({ group: 'h' });
    expect(token).toMatch(/^sp_tok_[0-9a-z]{16}_[0-9A-Za-z]{43}$/);
    expect(token).toContain(record.id);
    expect(store.verify(token)).toMatchObject({ id: record.id, group: 'g', name: 'ci' });
    const secretOf = (text: string): string => text.slice(-43);
    const swapped = token.replace(secretOf(token), secretOf(other.token));
    for (const wrong of [
      '',
      swapped,
      token.slice(0, -1),
      `${token}a`,
      ` ${token}`,
      `${token}\n`,
      token.toUpperCase(),
      secretOf(token),
      record.id,
      record.hash,
      `sp_tok_${'0'.repeat(16)}_${secretOf(token)}`,
    ]) {
      expect(store.verify(wrong), JSON.stringify(wrong)).toBeNull();
    }
  });

  it('is stored as a hash in a file of its owner alone', () => {
    const { token } = open().create({ group: 'g' });
    expect(content()).not.toContain(token.slice(-43));
    expect(statSync(file()).mode & 0o777).toBe(0o600);
    expect(existsSync(join(dir, 'tokens.lock'))).toBe(false);
  });

  it('makes the state folder for its owner alone when it is missing', () => {
    const inner = join(dir, 'state');
    open({ dir: inner }).create({ group: 'g' });
    expect(statSync(inner).mode & 0o777).toBe(0o700);
  });

  it('ends at its expiry, to the millisecond', () => {
    const store = open();
    const { record, token } = store.create({ group: 'g', expiresMs: 30 * DAY });
    expect(record.expires).toBe('2026-01-31T00:00:00.000Z');
    now = T0 + 30 * DAY - 1;
    expect(store.verify(token)).not.toBeNull();
    expect(store.alive(record.id)).toBe(true);
    now += 1;
    expect(store.verify(token)).toBeNull();
    expect(store.alive(record.id)).toBe(false);
  });

  it('ends when it is revoked, for good, with the time of the first revocation', () => {
    const store = open();
    const { record, token } = store.create({ group: 'g' });
    expect(store.revoke(record.id)).toBe(true);
    expect(store.verify(token)).toBeNull();
    expect(store.alive(record.id)).toBe(false);
    now += 1000;
    expect(store.revoke(record.id)).toBe(true);
    expect(store.list()[0]?.revoked).toBe('2026-01-01T00:00:00.000Z');
    expect(open().verify(token)).toBeNull();
  });

  it('is alive for its own group only', () => {
    const store = open();
    const { record } = store.create({ group: 'g' });
    expect(store.alive(record.id, 'g')).toBe(true);
    expect(store.alive(record.id, 'h')).toBe(false);
    expect(store.alive('tok_none')).toBe(false);
  });

  it.each([
    ['no life', { expiresMs: 0 }],
    ['a negative life', { expiresMs: -1 }],
    ['an endless life', { expiresMs: Number.POSITIVE_INFINITY }],
    ['no number', { expiresMs: Number.NaN }],
    ['a name of two lines', { name: 'a\nb' }],
    ['a name too long', { name: 'a'.repeat(129) }],
  ])('is not issued with %s', (_what, ask) => {
    const store = open();
    expect(() => store.create({ group: 'g', ...ask })).toThrow(
      expect.objectContaining({ code: 'bad_argument' }),
    );
    expect(existsSync(file())).toBe(false);
  });
});

describe('revoking', () => {
  it('says no to an id that it does not know, and writes nothing', () => {
    const store = open();
    store.create({ group: 'g' });
    const before = statSync(file()).ino;
    expect(store.revoke('tok_none')).toBe(false);
    expect(statSync(file()).ino).toBe(before);
  });
});

describe('a store whose file is not in order', () => {
  const good = (): Record<string, unknown> => ({
    id: `tok_${'a'.repeat(16)}`,
    group: 'g',
    name: '',
    hash: 'ab'.repeat(32),
    created: '2026-01-01T00:00:00.000Z',
    expires: null,
    lastUsed: null,
    revoked: null,
  });
  const fileOf = (...tokens: unknown[]): string => JSON.stringify({ version: 1, tokens });

  it('starts from the premise that a sound file is accepted', () => {
    writeFileSync(file(), fileOf(good()));
    expect(open().list()).toHaveLength(1);
  });

  it.each([
    ['is empty', ''],
    ['is cut off', '{"version":1,"tokens":[{"id":"tok'],
    ['is another version', JSON.stringify({ version: 2, tokens: [] })],
    ['has an unknown key', JSON.stringify({ version: 1, tokens: [], extra: 1 })],
    ['has a record with an unknown key', fileOf({ ...good(), admin: true })],
    ['has a record without a hash', fileOf({ ...good(), hash: undefined })],
    ['has a hash that is too short', fileOf({ ...good(), hash: 'ab' })],
    ['has a date that is none', fileOf({ ...good(), expires: 'tomorrow' })],
    ['has one id twice', fileOf(good(), good())],
  ])('lets nobody in and says so when the file %s', (_what, text) => {
    const store = open();
    const { token } = store.create({ group: 'g' });
    writeFileSync(file(), text);
    const problems: string[] = [];
    const watching = open({ onProblem: (message) => problems.push(message) });
    expect(watching.verify(token)).toBeNull();
    expect(watching.list()).toEqual([]);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain('tokens.json');
    store.reload();
    expect(store.verify(token)).toBeNull();
  });

  it('refuses to write over it', () => {
    writeFileSync(file(), '{"version":1,');
    const store = open();
    expect(() => store.create({ group: 'g' })).toThrow(expect.objectContaining({ code: 'broken' }));
    expect(() => store.revoke('tok_none')).toThrow(expect.objectContaining({ code: 'broken' }));
    expect(content()).toBe('{"version":1,');
  });

  it('is in order again once the file is', () => {
    const store = open();
    const { token } = store.create({ group: 'g' });
    const text = content();
    writeFileSync(file(), 'junk');
    store.reload();
    expect(store.verify(token)).toBeNull();
    writeFileSync(file(), text);
    store.reload();
    expect(store.verify(token)).not.toBeNull();
  });

  it('holds no tokens when the file is gone', () => {
    const store = open();
    const { token, record } = store.create({ group: 'g' });
    rmSync(file());
    store.reload();
    expect(store.verify(token)).toBeNull();
    expect(store.alive(record.id)).toBe(false);
  });
});

describe('the lock', () => {
  const lock = (): string => join(dir, 'tokens.lock');

  it('of a dead process does not stop a change', () => {
    // Linux gives no process this number: it is above every pid_max.
    writeFileSync(lock(), `2147483646 ${hostname()} cafe`);
    open().create({ group: 'g' });
    expect(existsSync(lock())).toBe(false);
  });

  it('that is older than any honest holder does not stop a change', () => {
    writeFileSync(lock(), `${process.pid} ${hostname()} cafe`);
    const long = Date.now() / 1000 - 60;
    utimesSync(lock(), long, long);
    open().create({ group: 'g' });
    expect(existsSync(lock())).toBe(false);
  });

  it('of a live process stops a change, which says so and writes nothing', () => {
    writeFileSync(lock(), `${process.pid} ${hostname()} cafe`);
    expect(() => open().create({ group: 'g' })).toThrow(expect.objectContaining({ code: 'locked' }));
    expect(existsSync(file())).toBe(false);
    expect(readFileSync(lock(), 'utf8')).toBe(`${process.pid} ${hostname()} cafe`);
  });

  it('is given back when the change fails', () => {
    writeFileSync(file(), 'junk');
    expect(() => open().create({ group: 'g' })).toThrow();
    expect(existsSync(lock())).toBe(false);
  });
});

describe('the running proxy', () => {
  it('sees what another process creates and revokes within a second, and tells its subscribers', async () => {
    const proxy = open({ watch: true });
    let told = 0;
    proxy.subscribe(() => told++);
    const cli = open();
    const { token, record } = cli.create({ group: 'g' });
    await vi.waitFor(() => expect(proxy.verify(token)).not.toBeNull(), { timeout: 1500, interval: 10 });
    expect(told).toBe(1);
    cli.revoke(record.id);
    await vi.waitFor(() => expect(proxy.alive(record.id)).toBe(false), { timeout: 1500, interval: 10 });
    expect(told).toBe(2);
  });

  it('sees a folder that is made after it started', async () => {
    const later = join(dir, 'later');
    const proxy = open({ watch: true, dir: later });
    const { token } = open({ dir: later }).create({ group: 'g' });
    await vi.waitFor(() => expect(proxy.verify(token)).not.toBeNull(), { timeout: 10_000 });
  });

  it('recovers by itself from a file that could not be read', () => {
    vi.useFakeTimers();
    const { token } = open().create({ group: 'g' });
    const text = content();
    writeFileSync(file(), 'junk');
    const problems: string[] = [];
    const proxy = open({ watch: true, onProblem: (message) => problems.push(message) });
    vi.advanceTimersByTime(3000);
    expect(proxy.verify(token)).toBeNull();
    expect(problems).toHaveLength(1);
    writeFileSync(file(), text);
    vi.advanceTimersByTime(1000);
    expect(proxy.verify(token)).not.toBeNull();
  });

  it('writes times of use back once a minute, and at its end', () => {
    vi.useFakeTimers();
    const { token, record } = open().create({ group: 'g' });
    const proxy = open({ watch: true });
    now += 5000;
    proxy.verify(token);
    expect(proxy.list()[0]?.lastUsed).toBe('2026-01-01T00:00:05.000Z');
    mono = 59_999;
    vi.advanceTimersByTime(1000);
    expect(open().list()[0]?.lastUsed).toBeNull();
    mono = 60_000;
    vi.advanceTimersByTime(1000);
    expect(open().list()[0]?.lastUsed).toBe('2026-01-01T00:00:05.000Z');
    now += 1000;
    proxy.alive(record.id);
    proxy.close();
    expect(open().list()[0]?.lastUsed).toBe('2026-01-01T00:00:06.000Z');
  });

  it('is not stamped as used by asking whether it is valid', () => {
    const store = open();
    const { record } = store.create({ group: 'g', expiresMs: DAY });
    expect(store.valid(record.id, 'g')).toBe(true);
    expect(store.valid(record.id, 'h')).toBe(false);
    expect(store.valid('tok_none')).toBe(false);
    expect(store.list()[0]?.lastUsed).toBeNull();
    now += DAY;
    expect(store.valid(record.id)).toBe(false);
    now -= DAY;
    store.revoke(record.id);
    expect(store.valid(record.id)).toBe(false);
  });

  it('never brings back a token that was revoked or removed behind its back', () => {
    const cli = open();
    const one = cli.create({ group: 'g' });
    const two = cli.create({ group: 'g' });
    const proxy = open({ watch: true });
    now += 5000;
    proxy.verify(one.token);
    proxy.verify(two.token);
    cli.revoke(one.record.id);
    const kept = content().replace(new RegExp(`,?\\s*\\{[^{}]*${two.record.id}[^{}]*\\}`), '');
    writeFileSync(file(), kept);
    proxy.close();
    const after = open().list();
    expect(after.map(({ id }) => id)).toEqual([one.record.id]);
    expect(after[0]?.revoked).not.toBeNull();
    expect(after[0]?.lastUsed).toBe('2026-01-01T00:00:05.000Z');
  });

  it('does not rouse its subscribers for times of use', () => {
    const { token } = open().create({ group: 'g' });
    const proxy = open();
    let told = 0;
    proxy.subscribe(() => told++);
    const other = open({ watch: true });
    now += 5000;
    other.verify(token);
    other.close();
    proxy.reload();
    expect(told).toBe(0);
    expect(proxy.list()[0]?.lastUsed).toBe('2026-01-01T00:00:05.000Z');
  });

  it('goes on when times of use cannot be written', () => {
    const { token } = open().create({ group: 'g' });
    const proxy = open({ watch: true });
    now += 5000;
    proxy.verify(token);
    writeFileSync(file(), 'junk');
    chmodSync(file(), 0o400);
    expect(() => proxy.close()).not.toThrow();
    expect(content()).toBe('junk');
  });

  it('no longer tells who has unsubscribed', () => {
    const store = open();
    let told = 0;
    const stop = store.subscribe(() => told++);
    store.create({ group: 'g' });
    stop();
    store.create({ group: 'g' });
    expect(told).toBe(1);
  });
});

describe('a full store', () => {
  const record = (n: number, more: Record<string, unknown> = {}): Record<string, unknown> => ({
    id: `tok_${String(n).padStart(16, '0')}`,
    group: 'g',
    name: '',
    hash: 'ab'.repeat(32),
    created: '2026-01-01T00:00:00.000Z',
    expires: null,
    lastUsed: null,
    revoked: null,
    ...more,
  });
  const fill = (first: Record<string, unknown>): void => {
    const rest = Array.from({ length: 9999 }, (_, n) => record(n + 1));
    writeFileSync(file(), JSON.stringify({ version: 1, tokens: [first, ...rest] }));
  };

  it('drops the oldest dead token for a new one', () => {
    fill(record(0, { revoked: '2026-01-01T00:00:00.000Z' }));
    const { token } = open().create({ group: 'g' });
    const store = open();
    expect(store.list()).toHaveLength(10_000);
    expect(store.verify(token)).not.toBeNull();
    expect(store.list().some(({ id }) => id === 'tok_0000000000000000')).toBe(false);
  });

  it('refuses a new one while all are live', () => {
    fill(record(0));
    expect(() => open().create({ group: 'g' })).toThrow(expect.objectContaining({ code: 'full' }));
  });
});
