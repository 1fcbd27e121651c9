import { hash } from 'node:crypto';
import { appendFileSync, copyFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { EMPTY_HEAD, GENESIS, type HashHex, recordLine } from '../../../src/audit/chain.ts';
import { loadCheckpointPublicKey } from '../../../src/audit/checkpoint.ts';
import { listAuditFiles } from '../../../src/audit/files.ts';
import { eachLine } from '../../../src/audit/lines.ts';
import { verifyFolder } from '../../../src/audit/read.ts';
import { RecordText } from '../../../src/audit/record-text.ts';
import { ChainVerifier, type VerifyResult } from '../../../src/audit/verify.ts';
import { decision, heldClock, openTrail, recordMany, stateDir } from './samples.ts';

const COUNT = 8;
const sha: HashHex = (bytes) => hash('sha256', bytes, 'hex');

/** A chain of COUNT lines and its last hash. */
function chain(change: (at: number) => string = String): { lines: string[]; hash: string } {
  const lines: string[] = [];
  let head = EMPTY_HEAD;
  for (let at = 1; at <= COUNT; at += 1) {
    const body = new RecordText().of(decision({ flow: change(at) }), '2026-03-01T12:00:00.000Z');
    const line = recordLine({ kind: 'decision', body }, head, null);
    head = { seq: at, hash: sha(line) };
    lines.push(line);
  }
  return { lines, hash: head.hash };
}

const GOOD = chain();
const ANCHOR = { head: { seq: COUNT, hash: GOOD.hash }, start: { seq: 1, prev: GENESIS } };

function verify(lines: readonly string[], anchor: typeof ANCHOR | null = ANCHOR): VerifyResult {
  const verifier = new ChainVerifier(sha, anchor);
  for (const [index, line] of lines.entries()) {
    verifier.line({ file: 'f', line: index + 1 }, Buffer.from(line, 'latin1'));
  }
  return verifier.finish();
}

const EVERY = GOOD.lines.map((_, index) => index);

describe('verifying the chain', () => {
  it('finds nothing in a chain as it was written', () => {
    expect(verify(GOOD.lines)).toEqual({ records: COUNT, first: 1, last: COUNT, finding: null });
    expect(verify(GOOD.lines, null).finding).toBeNull();
    expect(verify([], null).finding).toBeNull();
  });

  it.each(EVERY)('names record %i (from 0) when a byte of it was changed', (at) => {
    const lines = GOOD.lines.with(at, GOOD.lines[at]?.replace('POST', 'GETS') ?? '');
    const { finding } = verify(lines);
    expect(finding?.line).toBe(at + 1);
    expect(['edited', 'rewritten']).toContain(finding?.what);
  });

  it.each(EVERY)('names record %i (from 0) when its prev was changed', (at) => {
    const lines = GOOD.lines.with(at, GOOD.lines[at]?.replace(/"prev":"."?/, '"prev":"f') ?? '');
    const { finding } = verify(lines);
    expect(finding?.line).toBe(at + 1);
  });

  it.each(EVERY)('names record %i (from 0) when its seq was changed', (at) => {
    const lines = GOOD.lines.with(at, GOOD.lines[at]?.replace(/"seq":\d+/, '"seq":99') ?? '');
    expect(verify(lines).finding).toMatchObject({ line: at + 1 });
  });

  it.each(EVERY.slice(0, -1))('names the place where record %i (from 0) was taken out', (at) => {
    expect(verify(GOOD.lines.toSpliced(at, 1)).finding).toMatchObject({ what: 'deleted', line: at + 1 });
  });

  it.each(EVERY.slice(0, -1))(
    'tells a record %i (from 0) that changed places with the next from a deleted one',
    (at) => {
      const [a = '', b = ''] = GOOD.lines.slice(at, at + 2);
      const { finding } = verify(GOOD.lines.toSpliced(at, 2, b, a));
      expect(finding).toMatchObject({ what: 'reordered', line: at + 1 });
    },
  );

  it.each(EVERY)('sees that the tail was cut off after %i records', (kept) => {
    const { finding } = verify(GOOD.lines.slice(0, kept));
    expect(finding).toMatchObject({ what: 'cut_off' });
    expect(finding?.text).toContain(`${kept + 1} to ${COUNT}`);
  });

  it('sees a record that stands twice', () => {
    expect(verify(GOOD.lines.toSpliced(3, 0, GOOD.lines[2] ?? '')).finding).toMatchObject({
      what: 'reordered',
      line: 4,
    });
  });

  it.each(['', 'null', '[]', '{"seq":1}', '{"seq":1.5,"prev":""}', '{"seq":0,"prev":""}', '\0\0\0'])(
    'names a line that is no record: %j',
    (foreign) => {
      expect(verify(GOOD.lines.toSpliced(4, 0, foreign)).finding).toMatchObject({ what: 'edited', line: 5 });
    },
  );

  it('sees a chain that was built anew from its first record, by the checkpoint', () => {
    const forged = chain((at) => (at === 2 ? 'forged' : String(at)));
    expect(verify(forged.lines, null).finding).toBeNull();
    expect(verify(forged.lines).finding).toMatchObject({ what: 'rewritten', line: COUNT });
  });

  it('takes what retention left where the checkpoint says that it begins there', () => {
    const prev = sha(GOOD.lines[2] ?? '');
    const kept = GOOD.lines.slice(3);
    expect(verify(kept, { ...ANCHOR, start: { seq: 4, prev } }).finding).toBeNull();
    expect(verify(kept, { ...ANCHOR, start: { seq: 4, prev: GENESIS } }).finding).toMatchObject({
      what: 'edited',
    });
    expect(verify(kept.slice(1), { ...ANCHOR, start: { seq: 4, prev } }).finding).toMatchObject({
      what: 'deleted',
    });
    expect(verify(kept).finding).toMatchObject({ what: 'deleted' });
  });
});

describe('verifying a folder', () => {
  let state = '';
  let dir = '';

  async function writtenFolder(): Promise<void> {
    state = stateDir();
    dir = join(state, 'audit');
    const trail = openTrail(dir, { maxFileBytes: 1200, clock: heldClock() });
    await recordMany(trail, 9);
    await trail.close();
  }

  it('walks all files, and names the file of the first finding', async () => {
    await writtenFolder();
    const files = listAuditFiles(dir);
    expect(verifyFolder(dir)).toMatchObject({ records: 9, files: files.length, finding: null });
    expect(files.length).toBeGreaterThan(2);
    rmSync(files[1]?.path ?? '');
    expect(verifyFolder(dir).finding).toMatchObject({ file: files[2]?.name, line: 1, what: 'deleted' });
  });

  it('names bytes after the last newline', async () => {
    await writtenFolder();
    appendFileSync(listAuditFiles(dir).at(-1)?.path ?? '', '{"kind":');
    expect(verifyFolder(dir).finding).toMatchObject({ what: 'torn' });
  });

  it('does not trust a checkpoint that is missing, unsigned or signed by another key', async () => {
    await writtenFolder();
    const checkpoint = join(dir, 'checkpoint.json');
    copyFileSync(checkpoint, `${checkpoint}.good`);
    rmSync(checkpoint);
    expect(verifyFolder(dir).finding).toMatchObject({ what: 'checkpoint', file: 'checkpoint.json' });
    writeFileSync(checkpoint, '{}');
    expect(verifyFolder(dir).finding).toMatchObject({ what: 'checkpoint' });
    copyFileSync(`${checkpoint}.good`, checkpoint);
    expect(verifyFolder(dir).finding).toBeNull();
    const other = join(stateDir(), 'audit');
    await openTrail(other).close();
    expect(verifyFolder(dir, loadCheckpointPublicKey(`${other}.key`)).finding).toMatchObject({
      what: 'checkpoint',
    });
  });

  it('does not take a line that is being written for a torn one while a writer lives', async () => {
    const folder = join(stateDir(), 'audit');
    const trail = openTrail(folder);
    await recordMany(trail, 2);
    appendFileSync(listAuditFiles(folder).at(-1)?.path ?? '', '{"kind":');
    expect(verifyFolder(folder).finding).toBeNull();
    await trail.close();
    expect(verifyFolder(folder).finding).toMatchObject({ what: 'torn' });
  });
});

describe('reading lines', () => {
  it.each([
    ['nothing', '', [], 0],
    ['one whole line', 'a\n', ['a'], 0],
    ['a torn end', 'a\nbc', ['a'], 2],
    ['empty lines', '\n\nb\n', ['', '', 'b'], 0],
  ] as const)('gives %s', (_title, content, lines, rest) => {
    const file = join(stateDir(), 'x');
    writeFileSync(file, content);
    const seen: string[] = [];
    expect(eachLine(file, (line) => seen.push(Buffer.from(line).toString('latin1')))).toBe(rest);
    expect(seen).toEqual(lines);
  });

  it('gives lines that lie across the edge of its buffer, and bounds the ones that never end', () => {
    const file = join(stateDir(), 'x');
    const line = 'x'.repeat(700_001);
    writeFileSync(file, `${line}\n`.repeat(7));
    let count = 0;
    expect(eachLine(file, (bytes) => (count += bytes.length === line.length ? 1 : 100))).toBe(0);
    expect(count).toBe(7);
    writeFileSync(file, 'y'.repeat(9_000_000));
    let longest = 0;
    const rest = eachLine(file, (bytes) => (longest = Math.max(longest, bytes.length)));
    expect(longest + rest).toBeLessThan(5_000_000);
  });
});
