import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { folderIsLocked, lockFolder } from '../../../src/audit/lock.ts';
import { openAuditTrail } from '../../../src/audit/writer.ts';
import { heldClock, openTrail, parsed, stateDir } from './samples.ts';

function auditDir(): string {
  return join(stateDir(), 'audit');
}

describe('the folder lock', () => {
  it('keeps a second writer out and lets go at close', async () => {
    const dir = auditDir();
    const trail = openTrail(dir);
    expect(() => openAuditTrail({ dir, sync: 'batch', clock: heldClock() })).toThrow(/another process/);
    await trail.close();
    expect(existsSync(join(dir, 'writer.lock'))).toBe(false);
    openTrail(dir);
  });

  it('is taken over at once from a process that is gone, even when its pid is in use again', async () => {
    const dir = auditDir();
    await openTrail(dir).close();
    const dead = spawnSync(process.execPath, ['-e', '']).pid;
    const space = lockText(dir)['space'];
    for (const holder of [
      { pid: dead, started: '1', space },
      { pid: process.pid, started: '1', space },
    ]) {
      writeFileSync(join(dir, 'writer.lock'), JSON.stringify(holder));
      await openTrail(dir).close();
    }
  });
});

describe('a lock whose holder cannot be looked up', () => {
  it('is taken over when it shows no heartbeat for a while', () => {
    const dir = auditDir();
    mkdirSync(dir);
    writeFileSync(join(dir, 'writer.lock'), JSON.stringify({ pid: 1, started: '1', space: 'another host' }));
    const lock = lockFolder(dir, 300);
    expect(folderIsLocked(dir)).toBe(true);
    lock.release();
    expect(existsSync(join(dir, 'writer.lock'))).toBe(false);
  });

  it('keeps others out while it beats', () => {
    const dir = auditDir();
    mkdirSync(dir);
    const lock = join(dir, 'writer.lock');
    writeFileSync(lock, JSON.stringify({ pid: 1, started: '1', space: 'another host' }));
    const beat = `setInterval(() => require('node:fs').utimesSync(process.argv[1], new Date(), new Date()), 100)`;
    const child = spawn(process.execPath, ['-e', beat, lock], { stdio: 'ignore' });
    onTestFinished(() => void child.kill());
    expect(() => lockFolder(dir)).toThrow(/another process/);
  });

  it('is judged by its heartbeat when it is garbled', () => {
    const dir = auditDir();
    mkdirSync(dir);
    writeFileSync(join(dir, 'writer.lock'), 'not JSON');
    expect(folderIsLocked(dir)).toBe(false);
    lockFolder(dir, 300).release();
  });
});

/** What a writer of this process writes into its lock. */
function lockText(dir: string): Record<string, unknown> {
  const trail = openTrail(dir);
  const text = readFileSync(join(dir, 'writer.lock'), 'utf8');
  void trail.close();
  return parsed(text);
}
