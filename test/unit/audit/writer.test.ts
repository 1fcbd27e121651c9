import { hash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { GENESIS } from '../../../src/audit/chain.ts';
import { listAuditFiles } from '../../../src/audit/files.ts';
import { verifyFolder } from '../../../src/audit/read.ts';
import { type AuditFs, systemAuditFs } from '../../../src/audit/segment.ts';
import {
  decision,
  end,
  heldClock,
  linesOf,
  openTrail,
  parsed,
  record,
  recordMany,
  stateDir,
} from './samples.ts';

function auditDir(): string {
  return join(stateDir(), 'audit');
}

describe('the audit trail', () => {
  it('calls back only once the bytes stand in the file', async () => {
    const dir = auditDir();
    const trail = openTrail(dir);
    const seen: number[] = [];
    await new Promise<void>((resolve) => {
      trail.decision(decision({ flow: 'one' }), () => {
        seen.push(linesOf(dir).filter((line) => line.includes('"flow":"one"')).length);
        resolve();
      });
      expect(linesOf(dir)).toEqual([]);
    });
    expect(seen).toEqual([1]);
  });

  it('writes what one turn of the event loop brought with one write, in the order it came', async () => {
    const writes: string[] = [];
    const fs: AuditFs = {
      ...systemAuditFs,
      writeSync(fd, buffer, offset, length) {
        writes.push(Buffer.from(buffer.subarray(offset, offset + length)).toString('latin1'));
        return systemAuditFs.writeSync(fd, buffer, offset, length);
      },
    };
    const dir = auditDir();
    const trail = openTrail(dir, { fs });
    const order: string[] = [];
    const all = ['a', 'b', 'c'].map(
      (flow) =>
        new Promise<void>((resolve) => {
          trail.decision(decision({ flow }), () => {
            order.push(flow);
            resolve();
          });
          trail.end(end({ flow: `${flow}-end` }));
        }),
    );
    await Promise.all(all);
    expect(writes).toHaveLength(1);
    expect(order).toEqual(['a', 'b', 'c']);
    expect(linesOf(dir).map((line) => parsed(line)['flow'])).toEqual([
      'a',
      'a-end',
      'b',
      'b-end',
      'c',
      'c-end',
    ]);
  });

  it('lets the event loop turn between a callback and the write of what it handed in', async () => {
    const trail = openTrail(auditDir());
    let turns = 0;
    let decided = 0;
    const turn = (): void => {
      turns += 1;
      if (decided < 50) setImmediate(turn);
    };
    setImmediate(turn);
    await new Promise<void>((resolve) => {
      const next = (): void => {
        decided += 1;
        if (decided === 50) resolve();
        else trail.decision(decision(), next);
      };
      trail.decision(decision(), next);
    });
    expect(turns).toBeGreaterThan(40);
  });

  it('chains each record to the bytes of the one before', async () => {
    const dir = auditDir();
    const trail = openTrail(dir);
    await recordMany(trail, 3);
    const lines = linesOf(dir);
    expect(lines.map((line) => parsed(line)['seq'])).toEqual([1, 2, 3]);
    expect(parsed(lines[0])['prev']).toBe(GENESIS);
    expect(parsed(lines[1])['prev']).toBe(hash('sha256', lines[0] ?? ''));
    expect(trail.head()).toEqual({ seq: 3, hash: hash('sha256', lines[2] ?? '') });
  });

  it('goes on with the chain and the file after a restart', async () => {
    const dir = auditDir();
    const first = openTrail(dir);
    await recordMany(first, 2);
    await first.close();
    const second = openTrail(dir);
    expect(second.head().seq).toBe(2);
    await recordMany(second, 2);
    await second.close();
    expect(listAuditFiles(dir)).toHaveLength(1);
    expect(verifyFolder(dir)).toMatchObject({ records: 4, finding: null });
  });

  it('tells listeners of every event once it is written, in order', async () => {
    const trail = openTrail(auditDir());
    const seen: string[] = [];
    trail.onEvent((event) => seen.push(`${event.kind} ${'flow' in event ? event.flow : ''}`));
    trail.end(end({ flow: 'x' }));
    expect(seen).toEqual([]);
    await record(trail, decision({ flow: 'y' }));
    expect(seen).toEqual(['end x', 'decision y']);
  });

  it('waits for the disk before it calls back with sync: always, and takes the next batch after that', async () => {
    const dir = auditDir();
    const held: (() => void)[] = [];
    const fs: AuditFs = { ...systemAuditFs, fdatasync: (_fd, done) => void held.push(() => done(null)) };
    const trail = openTrail(dir, { sync: 'always', fs });
    const called: string[] = [];
    trail.decision(decision({ flow: 'first' }), () => called.push('first'));
    await vi.waitFor(() => expect(held).toHaveLength(1));
    trail.decision(decision({ flow: 'second' }), () => called.push('second'));
    await new Promise((resolve) => setImmediate(resolve));
    expect(called).toEqual([]);
    expect(linesOf(dir)).toHaveLength(1);
    held.shift()?.();
    expect(called).toEqual(['first']);
    await vi.waitFor(() => expect(held).toHaveLength(1));
    expect(linesOf(dir)).toHaveLength(2);
    held.shift()?.();
    expect(called).toEqual(['first', 'second']);
  });

  it('begins a new file each UTC day and at the size, and the chain goes across', async () => {
    const dir = auditDir();
    const clock = heldClock(Date.parse('2026-03-01T23:59:59.999Z'));
    const trail = openTrail(dir, { clock, maxFileBytes: 1500 });
    await recordMany(trail, 4);
    clock.time += 1;
    await recordMany(trail, 1);
    await trail.close();
    expect(listAuditFiles(dir).map(({ name }) => name)).toEqual([
      'audit-20260301-000000000001.jsonl',
      'audit-20260301-000000000004.jsonl',
      'audit-20260302-000000000005.jsonl',
    ]);
    expect(verifyFolder(dir)).toMatchObject({ records: 5, files: 3, finding: null });
  });

  it('keeps files from other users', async () => {
    const dir = auditDir();
    const trail = openTrail(dir);
    await recordMany(trail, 1);
    await trail.close();
    expect(statSync(dir).mode & 0o777).toBe(0o700);
    for (const name of readdirSync(dir)) expect(statSync(join(dir, name)).mode & 0o777).toBe(0o600);
    expect(statSync(`${dir}.key`).mode & 0o777).toBe(0o600);
  });

  it('deletes whole days beyond the retention, and the rest still verifies', async () => {
    const dir = auditDir();
    const clock = heldClock();
    const day = 86_400_000;
    for (let i = 0; i < 6; i += 1) {
      const trail = openTrail(dir, { clock, retainMs: 2 * day });
      await recordMany(trail, 2);
      await trail.close();
      clock.time += day;
    }
    const trail = openTrail(dir, { clock, retainMs: 2 * day });
    await recordMany(trail, 1);
    await vi.waitFor(() => expect(listAuditFiles(dir)[0]?.day).toBe('20260305'));
    await trail.close();
    expect(verifyFolder(dir)).toMatchObject({ first: 9, last: 13, finding: null });
  });
});

describe('closing the trail', () => {
  it('writes what waits, and takes nothing more', async () => {
    const dir = auditDir();
    const failures: Error[] = [];
    const trail = openTrail(dir, { onFailure: (error) => failures.push(error) });
    const waiting = record(trail);
    await trail.close();
    expect(await waiting).toBeNull();
    expect(linesOf(dir)).toHaveLength(1);
    expect(await record(trail)).toMatchObject({ code: 'AUDIT_CLOSED' });
    trail.end(end());
    expect(failures).toMatchObject([{ code: 'AUDIT_CLOSED' }, { code: 'AUDIT_LOST' }]);
    expect(trail.healthy()).toBe(false);
  });

  it('answers a decision that a callback hands in while it closes', async () => {
    const trail = openTrail(auditDir());
    const inner = new Promise<Error | null>((resolve) => {
      trail.decision(decision(), () => trail.decision(decision(), resolve));
    });
    await trail.close();
    expect(await inner).toMatchObject({ code: 'AUDIT_CLOSED' });
  });

  it('signs a checkpoint for the last record', async () => {
    const dir = auditDir();
    const trail = openTrail(dir);
    await recordMany(trail, 3);
    const { seq, hash: last } = trail.head();
    await trail.close();
    const written = parsed(readFileSync(join(dir, 'checkpoint.json'), 'utf8'));
    expect(written).toMatchObject({ seq, hash: last });
  });
});
