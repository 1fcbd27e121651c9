/** `audit verify` on a copy, with the public key alone: each way to touch the record, and the place that is named. */
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { cpSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AuditFile, listAuditFiles } from '../../src/audit/files.ts';
import { openAuditTrail } from '../../src/audit/writer.ts';
import { decision, heldClock, parsed, record, stateDir } from '../unit/audit/samples.ts';
import { type Installation, installation } from './main-harness.ts';

/** Five files of three records each. */
const FILE_BYTES = 1200;
const RECORDS = 15;

type Copy = {
  readonly dir: string;
  readonly files: readonly AuditFile[];
  /** the lines of the file `at`, changed */
  readonly edit: (at: number, change: (lines: string[]) => string[]) => void;
  readonly path: (at: number) => string;
};

/** What is done; file (from 0), or the file of the anchor; line; what it is called. */
type Row = readonly [
  title: string,
  touch: (copy: Copy) => void | Promise<void>,
  file: number | string,
  line: number,
  what: string,
];

const ROWS: readonly Row[] = [
  ['a record edited', ({ edit }) => edit(1, replaceIn(1, 'POST', 'PUTS')), 1, 2, 'edited'],
  ['the first record edited', ({ edit }) => edit(0, replaceIn(0, 'POST', 'PUTS')), 0, 1, 'edited'],
  ['the last record edited', ({ edit }) => edit(4, replaceIn(2, 'POST', 'PUTS')), 4, 3, 'rewritten'],
  ['a record deleted', ({ edit }) => edit(2, (lines) => lines.toSpliced(1, 1)), 2, 2, 'deleted'],
  ['the last record of a file deleted', ({ edit }) => edit(2, (lines) => lines.slice(0, 2)), 3, 1, 'deleted'],
  [
    'two records reordered',
    ({ edit }) => edit(1, ([a = '', b = '', c = '']) => [b, a, c]),
    1,
    1,
    'reordered',
  ],
  ['a record moved to another file', moveAcross, 1, 2, 'reordered'],
  ['a record duplicated', ({ edit }) => edit(3, ([a = '', ...rest]) => [a, a, ...rest]), 3, 2, 'reordered'],
  [
    'a record repeated at the end',
    ({ edit }) => edit(4, (lines) => [...lines, lines[0] ?? '']),
    4,
    4,
    'reordered',
  ],
  ['the tail cut', ({ edit }) => edit(4, (lines) => lines.slice(0, 1)), 4, 1, 'cut_off'],
  ['the tail cut in the middle of a record', cutBytes, 4, 3, 'torn'],
  ['two files swapped', swapFiles, 1, 1, 'reordered'],
  ['the first file deleted', ({ path }) => rmSync(path(0)), 1, 1, 'deleted'],
  ['a file between deleted', ({ path }) => rmSync(path(2)), 3, 1, 'deleted'],
  ['the last file deleted', ({ path }) => rmSync(path(4)), 3, 3, 'cut_off'],
  ['all files deleted', deleteAll, 'checkpoint.json', 1, 'cut_off'],
  [
    'a line of another kind put in',
    ({ edit }) => edit(2, (lines) => lines.toSpliced(1, 0, '{}')),
    2,
    2,
    'edited',
  ],
  [
    'the checkpoint deleted',
    ({ dir }) => rmSync(join(dir, 'checkpoint.json')),
    'checkpoint.json',
    1,
    'checkpoint',
  ],
  ['the checkpoint edited', editCheckpoint, 'checkpoint.json', 1, 'checkpoint'],
  [
    'the checkpoint replaced by that of another install',
    foreignCheckpoint,
    'checkpoint.json',
    1,
    'checkpoint',
  ],
  ['all forged with another key', forge, 'checkpoint.json', 1, 'checkpoint'],
  ['all forged, under the genuine checkpoint', forgeRecords, 4, 3, 'rewritten'],
];

describe('audit verify of a copy, with the public key alone', () => {
  let home: Installation;
  let original = '';
  let publicKey = '';

  beforeAll(async () => {
    home = installation();
    original = join(home.dir, 'original', 'audit');
    await write(original);
    publicKey = join(home.dir, 'audit.pub');
    const key = createPublicKey(createPrivateKey(readFileSync(`${original}.key`)));
    writeFileSync(publicKey, key.export({ type: 'spki', format: 'pem' }));
  });
  afterAll(() => home.remove());

  /** Without the private key beside it. */
  const copyOf = (): Copy => {
    const dir = join(stateDir(), 'copy');
    cpSync(original, dir, { recursive: true });
    const files = listAuditFiles(dir);
    const path = (at: number): string => files[at]?.path ?? '';
    const edit: Copy['edit'] = (at, change) => {
      const lines = change(readFileSync(path(at), 'latin1').trimEnd().split('\n'));
      writeFileSync(path(at), `${lines.join('\n')}\n`, 'latin1');
    };
    return { dir, files, edit, path };
  };

  it('finds nothing where nothing was done', async () => {
    const { dir, files } = copyOf();
    expect(files).toHaveLength(5);
    expect(await home.run(['audit', 'verify', dir, '--key', publicKey])).toEqual({
      status: 0,
      out: `${RECORDS} records in 5 files are whole (1 to ${RECORDS}).\n`,
      err: '',
    });
  });

  it.each(ROWS)('%s: names the first bad place', async (_title, touch, file, line, what) => {
    const copy = copyOf();
    const name = typeof file === 'string' ? file : copy.files[file]?.name;
    await touch(copy);
    const { status, out, err } = await home.run(['audit', 'verify', copy.dir, '--key', publicKey]);
    expect([status, out, err.slice(0, err.indexOf(': ', err.indexOf(`: ${what}`) + 2))]).toEqual([
      1,
      '',
      `${name}:${line}: ${what}`,
    ]);
  });

  it('says with status 1 that nothing can be trusted where there is no key', async () => {
    const { status, err } = await home.run(['audit', 'verify', copyOf().dir]);
    expect([status, err]).toEqual([1, expect.stringMatching(/^checkpoint\.json:1: checkpoint: no key/)]);
  });
});

async function write(dir: string, name = 'flow'): Promise<void> {
  const trail = openAuditTrail({ dir, sync: 'batch', clock: heldClock(), maxFileBytes: FILE_BYTES });
  for (let n = 0; n < RECORDS; n += 1) await record(trail, decision({ flow: `${name}-${n}` }));
  await trail.close();
}

function replaceIn(at: number, from: string, to: string): (lines: string[]) => string[] {
  return (lines) => lines.with(at, lines[at]?.replace(from, to) ?? '');
}

function moveAcross({ edit }: Copy): void {
  let moved = '';
  edit(1, ([a = '', b = '', c = '']) => {
    moved = b;
    return [a, c];
  });
  edit(3, (lines) => [...lines, moved]);
}

function cutBytes({ path }: Copy): void {
  writeFileSync(path(4), readFileSync(path(4)).subarray(0, -20));
}

function deleteAll({ files }: Copy): void {
  for (const { path } of files) rmSync(path);
}

function swapFiles({ path }: Copy): void {
  renameSync(path(1), `${path(1)}.aside`);
  renameSync(path(3), path(1));
  renameSync(`${path(1)}.aside`, path(3));
}

/** Says of itself that the chain ends earlier, so that a cut tail would not be missed. */
function editCheckpoint({ dir }: Copy): void {
  const file = join(dir, 'checkpoint.json');
  writeFileSync(file, JSON.stringify({ ...parsed(readFileSync(file, 'utf8')), seq: 3 }));
}

/** The records stay; the anchor is one that another key signed for as many records. */
async function foreignCheckpoint({ dir }: Copy): Promise<void> {
  const other = join(stateDir(), 'audit');
  await write(other);
  cpSync(join(other, 'checkpoint.json'), join(dir, 'checkpoint.json'));
}

/** A whole trail of somebody else's, in good order and signed with a key of theirs. */
async function forge({ dir }: Copy): Promise<void> {
  rmSync(dir, { recursive: true });
  await write(dir, 'fake');
  rmSync(`${dir}.key`);
}

async function forgeRecords(copy: Copy): Promise<void> {
  const genuine = readFileSync(join(copy.dir, 'checkpoint.json'));
  await forge(copy);
  writeFileSync(join(copy.dir, 'checkpoint.json'), genuine);
}
