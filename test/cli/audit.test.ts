import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { Command } from 'commander';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { listAuditFiles } from '../../src/audit/files.ts';
import { addAudit } from '../../src/cli/audit.ts';
import { CliError } from '../../src/cli/io.ts';
import { decision, end, openTrail, parsed, record, recordMany, stateDir } from '../unit/audit/samples.ts';

/** An install: its root, and the audit folder in it. */
function install(): { root: string; dir: string } {
  const root = stateDir();
  return { root, dir: join(root, '.sallyport', 'audit') };
}

type Run = { readonly status: number; readonly out: string; readonly err: string };

function start(
  root: string,
  argv: readonly string[],
  stop?: AbortSignal,
): { done: Promise<Run>; out: () => string } {
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  let out = '';
  let err = '';
  stdout.on('data', (bytes: Buffer) => (out += bytes.toString('utf8')));
  stderr.on('data', (bytes: Buffer) => (err += bytes.toString('utf8')));
  const program = new Command().exitOverride();
  addAudit(program, { stdin: new PassThrough(), stdout, stderr, env: {}, cwd: root }, stop);
  for (const command of program.commands.flatMap((one) => [one, ...one.commands]))
    command.copyInheritedSettings(program);
  const finish = async (): Promise<Run> => {
    let status = 0;
    try {
      await program.parseAsync(['audit', ...argv], { from: 'user' });
    } catch (error) {
      if (!(error instanceof CliError)) throw error;
      status = error.status;
      err += error.message;
    }
    await new Promise((resolve) => setImmediate(resolve));
    return { status, out, err };
  };
  return { done: finish(), out: () => out };
}

function run(root: string, ...argv: string[]): Promise<Run> {
  return start(root, argv).done;
}

describe('audit verify', () => {
  it('says that the record is whole, with status 0', async () => {
    const { root, dir } = install();
    const trail = openTrail(dir);
    await recordMany(trail, 5);
    await trail.close();
    expect(await run(root, 'verify')).toEqual({
      status: 0,
      out: '5 records in 1 file are whole (1 to 5).\n',
      err: '',
    });
    const { out } = await run(root, 'verify', '--json');
    expect(parsed(out)).toEqual({ ok: true, dir, files: 1, records: 5, first: 1, last: 5, finding: null });
  });

  it('names file, line and what is wrong, with status 1', async () => {
    const { root, dir } = install();
    const trail = openTrail(dir);
    await recordMany(trail, 5);
    await trail.close();
    const [file] = listAuditFiles(dir);
    const text = readFileSync(file?.path ?? '', 'utf8');
    writeFileSync(file?.path ?? '', text.replace('flow-2', 'flow-9'));
    const { status, err } = await run(root, 'verify');
    expect([status, err]).toEqual([1, `${file?.name}:3: edited: record 3 is not what was written\n`]);
    const json = await run(root, 'verify', '--json');
    expect(json.status).toBe(1);
    expect(parsed(json.out)).toMatchObject({ ok: false, finding: { line: 3, what: 'edited' } });
  });

  it('checks a copy elsewhere with the key that is named', async () => {
    const { root, dir } = install();
    const trail = openTrail(dir);
    await recordMany(trail, 1);
    await trail.close();
    const other = install().root;
    expect((await run(other, 'verify', dir, '--key', `${dir}.key`)).status).toBe(0);
    expect((await run(other, 'verify', dir, '--key', join(root, 'nothing.pem'))).status).toBe(2);
  });

  it('says so when there is no folder', async () => {
    const { root } = install();
    const { status, err } = await run(root, 'verify');
    expect([status, err.startsWith('there is no audit folder')]).toEqual([1, true]);
  });
});

describe('audit tail', () => {
  it('prints the last records as columns that a terminal cannot be tricked with', async () => {
    const { root, dir } = install();
    const trail = openTrail(dir);
    await recordMany(trail, 3);
    const refused = { verdict: 'deny', reason: 'host_not_allowed', rule: null, hostLabel: null } as const;
    await record(trail, decision({ ...refused, path: '/\x1b[2Jx?y=z', treat: null }));
    trail.end(end({ status: 403, ended: 'refused', reason: 'host_not_allowed' }));
    await trail.close();
    const { out } = await run(root, 'tail', '-n', '2');
    const lines = out.trimEnd().split('\n');
    expect(lines).toHaveLength(3);
    expect(lines[0]).toMatch(/^TIME +WHAT +GROUP +IDENTITY +METHOD +TARGET {2}OUTCOME$/);
    expect(lines[1]).toMatch(
      /^2026-03-01T12:00:00\.000Z deny +ai-agents +tok_1 +POST +api\.openai\.com:443\/\\u001b\[2Jx\?\.\.\. {2}host_not_allowed$/,
    );
    expect(lines[2]).toMatch(/ end .* refused 403 host_not_allowed 12\.346ms up 10 down 20$/);
    expect(out).toMatch(/^[ -~\n]+$/);
  });

  it('prints the lines as they stand with --json', async () => {
    const { root, dir } = install();
    const trail = openTrail(dir);
    await recordMany(trail, 3);
    const { out } = await run(root, 'tail', '--json', '-n', '2');
    const flows = out
      .trimEnd()
      .split('\n')
      .map((line) => parsed(line)['flow']);
    expect(flows).toEqual(['flow-1', 'flow-2']);
  });

  it('follows across files until it is stopped', async () => {
    const { root, dir } = install();
    const trail = openTrail(dir, { maxFileBytes: 900 });
    await recordMany(trail, 1);
    const stop = new AbortController();
    onTestFinished(() => stop.abort());
    const following = start(root, ['tail', '-f', '--json', '-n', '0'], stop.signal);
    await recordMany(trail, 6);
    await vi.waitFor(() => expect(following.out().split('\n')).toHaveLength(7), 20_000);
    await recordMany(trail, 1);
    await vi.waitFor(() => expect(following.out().split('\n')).toHaveLength(8), 20_000);
    stop.abort();
    const { status, out } = await following.done;
    expect(status).toBe(0);
    expect(
      out
        .trimEnd()
        .split('\n')
        .map((line) => parsed(line)['seq']),
    ).toEqual([2, 3, 4, 5, 6, 7, 8]);
  });
});
