import { appendFileSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { listAuditFiles } from '../../../src/audit/files.ts';
import { verifyFolder } from '../../../src/audit/read.ts';
import { linesOf, openTrail, parsed, recordMany, stateDir } from './samples.ts';

/** A folder with `count` records, closed. */
async function written(count: number): Promise<string> {
  const dir = join(stateDir(), 'audit');
  const trail = openTrail(dir);
  await recordMany(trail, count);
  await trail.close();
  return dir;
}

function lastFile(dir: string): string {
  return listAuditFiles(dir).at(-1)?.path ?? '';
}

/** Starts again, writes one record, stops; gives the note of that record. */
async function noteAfterRestart(dir: string): Promise<unknown> {
  const trail = openTrail(dir);
  await recordMany(trail, 1);
  await trail.close();
  return parsed(linesOf(dir).at(-1))['note'];
}

describe('starting again after a crash', () => {
  it('moves a torn last line aside, notes it, and the chain is whole', async () => {
    const dir = await written(3);
    appendFileSync(lastFile(dir), '{"kind":"decision","seq":4,"at":"20');
    expect(await noteAfterRestart(dir)).toMatch(/^35 bytes of an unfinished record were moved to .*\.torn$/);
    expect(verifyFolder(dir)).toMatchObject({ records: 4, finding: null });
    const torn = readdirSync(dir).filter((name) => name.endsWith('.torn'));
    expect(torn).toHaveLength(1);
    expect(readFileSync(join(dir, torn[0] ?? ''), 'utf8')).toBe('{"kind":"decision","seq":4,"at":"20');
  });

  it('moves zeros aside that a power cut left, with or without line ends among them', async () => {
    const dir = await written(2);
    appendFileSync(lastFile(dir), Buffer.from('\0\0\0\n\0\0\n\0\0'));
    expect(await noteAfterRestart(dir)).toMatch(/^9 bytes/);
    expect(verifyFolder(dir)).toMatchObject({ records: 3, finding: null });
  });

  it('goes on before a file that holds nothing but a torn line', async () => {
    const dir = await written(2);
    const torn = join(dir, 'audit-20260301-000000000003.jsonl');
    writeFileSync(torn, '{"kind"');
    expect(await noteAfterRestart(dir)).toMatch(/^7 bytes/);
    expect(verifyFolder(dir)).toMatchObject({ records: 3, finding: null });
  });

  it('notes nothing after a clean stop', async () => {
    expect(await noteAfterRestart(await written(2))).toBeUndefined();
  });

  it('goes on from records that are newer than the checkpoint', async () => {
    const dir = await written(2);
    const old = readFileSync(join(dir, 'checkpoint.json'));
    expect(await noteAfterRestart(dir)).toBeUndefined();
    writeFileSync(join(dir, 'checkpoint.json'), old);
    expect(await noteAfterRestart(dir)).toBeUndefined();
    expect(verifyFolder(dir)).toMatchObject({ records: 4, finding: null });
  });
});

describe('starting again after someone was there', () => {
  it('does not close over a tail that was cut off: the gap stays for verify', async () => {
    const dir = await written(4);
    const lines = linesOf(dir);
    truncateSync(lastFile(dir), `${lines.slice(0, 2).join('\n')}\n`.length);
    expect(await noteAfterRestart(dir)).toMatch(/records 3 to 4 are missing/);
    expect(verifyFolder(dir).finding).toMatchObject({ what: 'deleted', line: 3 });
  });

  it('does not close over a last record that was rewritten', async () => {
    const dir = await written(2);
    const lines = linesOf(dir);
    writeFileSync(lastFile(dir), `${lines[0]}\n${lines[1]?.replace('api.openai.com', 'api.openai.org')}\n`);
    await noteAfterRestart(dir);
    expect(verifyFolder(dir).finding).toMatchObject({ what: 'edited', line: 2 });
  });

  it('notes a checkpoint that is missing or not signed by its key', async () => {
    const missing = await written(1);
    rmSync(join(missing, 'checkpoint.json'));
    expect(await noteAfterRestart(missing)).toMatch(/checkpoint.json is missing/);
    const forged = await written(1);
    const text = readFileSync(join(forged, 'checkpoint.json'), 'utf8');
    writeFileSync(join(forged, 'checkpoint.json'), text.replace('"seq":1', '"seq":9'));
    expect(await noteAfterRestart(forged)).toMatch(/not signed/);
  });

  it('goes on after the checkpoint when all files are gone', async () => {
    const dir = await written(3);
    rmSync(lastFile(dir));
    expect(await noteAfterRestart(dir)).toMatch(/records 1 to 3 are missing/);
    expect(verifyFolder(dir)).toMatchObject({ first: 4, finding: { what: 'deleted' } });
  });
});
