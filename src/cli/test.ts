/** `test`: runs the `tests:` of the policy files, each request against the verdict that it must get. */
import { statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { Command } from 'commander';
import { loadPolicies } from '../config/load.ts';
import { runTests, type TestResult } from '../config/run-tests.ts';
import type { PolicySet } from '../policy/model.ts';
import { buildSourceTable } from '../policy/source-table.ts';
import { CliError, type CliIo } from './io.ts';
import { CONFIG, policiesFor, settingsFor } from './load.ts';

type Options = { readonly config?: string; readonly json?: boolean };

/** Adds the command. Exit status 1 when a test fails or a file does not load. */
export function addTest(program: Command, io: CliIo): void {
  program
    .command('test')
    .description('run the tests of the policy files')
    .argument('[files...]', 'policy files (default: the policies folder)')
    .option(...CONFIG)
    .option('--json', 'print { passed, failed, results }')
    .addHelpText('after', '\nExample:\n  $ sallyport test policies/openclaw.yaml\n')
    .action((files: string[], options: Options) => {
      const sets = files.length === 0 ? [policiesFor(settingsFor(options.config, io))] : setsOf(files, io);
      const results = sets.flatMap((set) => runTests(set, buildSourceTable(set.groups.values())));
      print(results, options.json === true, io);
      if (results.some(({ ok }) => !ok)) throw new CliError('');
    });
}

/** Files of one folder are loaded together, with its profiles and guardrails. */
function setsOf(files: readonly string[], io: CliIo): readonly PolicySet[] {
  const folders = new Map<string, string[] | undefined>();
  for (const file of files) {
    const path = resolve(io.cwd, file);
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat === undefined) throw new CliError(`there is no file ${file}`, 2);
    if (stat.isDirectory()) folders.set(path, undefined);
    else folders.set(dirname(path), [...(folders.get(dirname(path)) ?? []), path]);
  }
  return [...folders].map(([dir, only]) => {
    const loaded = loadPolicies(dir, only);
    if (loaded.ok) return loaded.set;
    const lines = loaded.problems.map(
      (at) => `  ${at.file}:${at.line}:${at.column}: ${at.message} (${at.fix})`,
    );
    throw new CliError(['the policies are not in order:', ...lines].join('\n'));
  });
}

function print(results: readonly TestResult[], json: boolean, io: CliIo): void {
  const failed = results.filter(({ ok }) => !ok);
  const counts = { passed: results.length - failed.length, failed: failed.length };
  if (json) {
    io.stdout.write(`${JSON.stringify({ ...counts, results }, null, 2)}\n`);
    return;
  }
  for (const { file, line, group, request, why } of failed) {
    io.stdout.write(`failed: ${file}:${line}: ${group}: ${request}\n`);
    for (const reason of why) io.stdout.write(`  ${reason}\n`);
  }
  io.stdout.write(`${counts.passed} passed, ${counts.failed} failed\n`);
}
