/** Settings and policies as commands need them: loaded, or a CliError that lists what is wrong and where. */
import { statSync } from 'node:fs';
import { loadPolicies } from '../config/load.ts';
import { loadSettings, type Settings } from '../config/settings.ts';
import type { PolicySet, Problem } from '../policy/model.ts';
import { EVERYBODY } from '../state/lockdown.ts';
import { CliError, type CliIo } from './io.ts';

/** The option whose value `settingsFor` takes. */
export const CONFIG = [
  '--config <file>',
  'settings file (default: sallyport.yaml, or SALLYPORT_CONFIG)',
] as const;

/** `file`: the value of `--config`. */
export function settingsFor(file: string | undefined, io: CliIo): Settings {
  const loaded = loadSettings({ ...(file === undefined ? {} : { file }), env: io.env, cwd: io.cwd });
  if ('settings' in loaded) return loaded.settings;
  throw new CliError(listOf('the settings are not in order', loaded.problems));
}

export function policiesFor(settings: Settings): PolicySet {
  const loaded = loadPolicies(settings.policies);
  if (loaded.ok) return loaded.set;
  throw new CliError(listOf('the policies are not in order', loaded.problems));
}

/** For commands that read the record: `dir` must be there. */
export function needAuditFolder(dir: string): void {
  if (statSync(dir, { throwIfNoEntry: false })?.isDirectory() === true) return;
  throw new CliError(
    `there is no audit folder ${dir}: it is made when the proxy first starts; are these its settings (--config)?`,
  );
}

/** For `--group`: wrong use when there is no such group, with the ones there are. */
export function knownGroup(set: PolicySet, name: string): string {
  if (set.groups.has(name)) return name;
  const names = [...set.groups.keys()].join(', ');
  throw new CliError(`there is no group ${JSON.stringify(name)}; the policies define: ${names || 'none'}`);
}

/**
 * For `--group` where something is to be stopped: policies that do not load must not stand in the way. Everybody is no
 * group.
 */
export function needGroup(settings: Settings, name: string): void {
  if (name === EVERYBODY) return;
  const loaded = loadPolicies(settings.policies);
  if (loaded.ok) knownGroup(loaded.set, name);
}

function listOf(title: string, problems: readonly Problem[]): string {
  const lines = problems.map((at) => `  ${at.file}:${at.line}:${at.column}: ${at.message} (${at.fix})`);
  return [`${title}:`, ...lines].join('\n');
}
