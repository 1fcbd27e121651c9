/** `check`: are settings and policies in order, and what in them is legal but unwise. */
import { readFileSync, statSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import type { Command } from 'commander';
import { errorCode } from '../base/error-code.ts';
import { lintSettings } from '../config/lint-settings.ts';
import { type LoadedPolicies, loadPolicies } from '../config/load.ts';
import { loadSettings, type Settings } from '../config/settings.ts';
import type { Locate } from '../config/yaml-file.ts';
import { readCertificates } from '../intercept/authority.ts';
import { AuthorityError } from '../intercept/authority-error.ts';
import type { Problem } from '../policy/model.ts';
import { CliError, type CliIo } from './io.ts';
import { CONFIG } from './load.ts';

type Options = { readonly config?: string; readonly json?: boolean };
type Findings = { readonly problems: Problem[]; readonly warnings: Problem[]; readonly seen: string[] };

const SETTINGS_NAME = /^sallyport[^/]*\.ya?ml$/;
const GUARDRAILS_NAME = /^guardrails\.ya?ml$/;

/** Adds the command. Exit status 1 when something would keep settings or policies from loading. */
export function addCheck(program: Command, io: CliIo): void {
  program
    .command('check')
    .description('validate settings and policies, with warnings for what is legal but unwise')
    .argument('[files...]', 'policy, profile, guardrails or settings files, or folders (default: all in use)')
    .option(...CONFIG)
    .option('--json', 'print { ok, checked, problems, warnings }')
    .addHelpText('after', '\nExample:\n  $ sallyport check policies/openclaw.yaml\n')
    .action((files: string[], options: Options) => {
      const found: Findings = { problems: [], warnings: [], seen: [] };
      if (files.length === 0) checkAll(options, io, found);
      else checkFiles(files, io, found);
      print(found, options.json === true, io);
      if (found.problems.length > 0) throw new CliError('');
    });
}

function checkAll(options: Options, io: CliIo, found: Findings): void {
  const dir = checkSettings(options.config, io, found);
  if (dir !== null) checkPolicies(dir, undefined, found);
}

/** The policies folder that the settings name; null when the settings are not in order. */
function checkSettings(file: string | undefined, io: CliIo, found: Findings): string | null {
  const loaded = loadSettings({ ...(file === undefined ? {} : { file }), env: io.env, cwd: io.cwd });
  if ('problems' in loaded) {
    found.problems.push(...loaded.problems);
    return null;
  }
  const { settings, locate } = loaded;
  const extra = extraCaProblems(settings, locate);
  found.problems.push(...extra);
  if (extra.length === 0) found.seen.push(settings.file ?? 'settings: the defaults');
  found.warnings.push(...lintSettings(settings, locate));
  return settings.policies;
}

/** Files of `tls.extra_ca` that would keep `start` from starting. */
function extraCaProblems({ tls }: Settings, locate: Locate): readonly Problem[] {
  return tls.extraCa.flatMap((file, index) => {
    const message = certificatesFault(file);
    if (message === null) return [];
    const fix = 'name a PEM file with one or more certificates, or remove the entry';
    return [{ ...locate(['tls', 'extra_ca', index]), message, fix }];
  });
}

function certificatesFault(file: string): string | null {
  try {
    readCertificates(file, readFileSync(file, 'utf8'));
    return null;
  } catch (error) {
    // Its fix is one for our own CA.
    if (error instanceof AuthorityError) return error.message.replace(`: ${error.fix}`, '');
    return `${file} cannot be read (${errorCode(error) || 'unreadable'})`;
  }
}

function checkPolicies(dir: string, only: readonly string[] | undefined, found: Findings): void {
  const loaded: LoadedPolicies = loadPolicies(dir, only);
  if (!loaded.ok) {
    found.problems.push(...loaded.problems);
    return;
  }
  found.warnings.push(...loaded.set.warnings);
  const groups = [...loaded.set.groups.keys()].join(', ') || 'no group';
  found.seen.push(`${dir}: ${groups} (policy ${loaded.set.hash})`);
}

function checkFiles(files: readonly string[], io: CliIo, found: Findings): void {
  const groups = new Map<string, string[]>();
  const done = new Set<string>();
  for (const file of files) {
    const path = resolve(io.cwd, file);
    if (done.has(path)) continue;
    done.add(path);
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat === undefined) throw new CliError(`there is no file ${file}`, 2);
    if (stat.isDirectory()) checkFolder(path, found);
    else if (SETTINGS_NAME.test(basename(path))) checkSettings(file, io, found);
    else collect(path, groups);
  }
  for (const [dir, only] of groups) checkPolicies(dir, only, found);
}

/** Profiles are judged as those of the folder that they lie in. */
function checkFolder(path: string, found: Findings): void {
  if (basename(path) === 'profiles') checkPolicies(dirname(path), [], found);
  else checkPolicies(path, undefined, found);
}

/** Policy files are judged with the profiles and guardrails that lie beside them. */
function collect(path: string, groups: Map<string, string[]>): void {
  const folder = dirname(path);
  const dir = basename(folder) === 'profiles' ? dirname(folder) : folder;
  const list = groups.get(dir) ?? [];
  groups.set(dir, list);
  if (dir === folder && !GUARDRAILS_NAME.test(basename(path))) list.push(path);
}

function print(found: Findings, json: boolean, io: CliIo): void {
  const { problems, warnings, seen } = found;
  if (json) {
    const report = { ok: problems.length === 0, checked: seen, problems, warnings };
    io.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
    return;
  }
  for (const problem of problems) io.stdout.write(`error: ${lineOf(problem)}\n`);
  for (const warning of warnings) io.stdout.write(`warning: ${lineOf(warning)}\n`);
  for (const line of seen) io.stdout.write(`ok: ${line}\n`);
  if (problems.length > 0) {
    io.stdout.write(
      `${problems.length} ${problems.length === 1 ? 'error' : 'errors'}: nothing of this would load\n`,
    );
  }
}

function lineOf({ file, line, column, message, fix }: Problem): string {
  const place = line === 0 ? file : `${file}:${line}:${Math.max(column, 1)}`;
  return `${place}: ${message} (${fix})`;
}
