/**
 * `incident`: the emergency procedure in one command. Everything stops, the record is put aside with its proof, tokens
 * and placeholders are worth nothing any more, and the keys that were in use are listed for rotation. It works on the
 * state folder, so it needs no proxy that answers; each step is told, and one that fails stops none of the others.
 */
import { join } from 'node:path';
import type { Command } from 'commander';
import { copyEvidence, PUBLIC_KEY_FILE } from '../audit/evidence.ts';
import { type KeyUse, KeyUses } from '../audit/key-uses.ts';
import { eachRecord } from '../audit/scan.ts';
import { systemClock } from '../base/clock.ts';
import type { Settings } from '../config/settings.ts';
import { openTokenStore } from '../identify/token.ts';
import { durationMs } from '../policy/units.ts';
import { changeLockdown, EVERYBODY } from '../state/lockdown.ts';
import { openLockdown } from '../state/lockdown-file.ts';
import { reasonText } from '../state/lockdown-schema.ts';
import { EPOCHS_FILE, renewPlaceholders } from '../vault/epochs.ts';
import { CliError, type CliIo } from './io.ts';
import { CONFIG, needGroup, settingsFor } from './load.ts';
import { commandUser, noteAction } from './note.ts';
import { duration } from './option-values.ts';
import { progressOn } from './progress.ts';
import { jsonText, safe } from './terminal-text.ts';

type Options = {
  readonly group?: string;
  readonly reason: string;
  readonly since: string;
  readonly dryRun?: true;
  readonly json?: true;
  readonly config?: string;
};

type Step = { readonly name: string; readonly would: string; readonly run: () => Promise<string> | string };
type Done = { readonly step: string; readonly ok: boolean; readonly what: string };

const EXAMPLES = `
Examples:
  $ sallyport incident --reason 'key seen in a paste'              everybody
  $ sallyport incident --group ai-agents --reason 'odd uploads'
  $ sallyport incident --reason drill --dry-run

It may be run again: what is locked, revoked and put aside stays so. Afterwards: rotate the keys that are listed
(sallyport vault rotate NAME), issue tokens anew, then sallyport lockdown off --reason …
Exit status: 0 every step was done, 1 one was not, 2 wrong use.
`;

export function addIncident(program: Command, io: CliIo): void {
  program
    .command('incident')
    .description(
      'the emergency procedure: lock down, keep the record, end tokens and placeholders, list keys to rotate',
    )
    .option('--group <group>', 'this group alone (default: all)')
    .requiredOption('--reason <text>', 'why, for the record')
    .option('--since <duration>', 'how far back to look for keys that were used: 24h, 30d', duration, '30d')
    .option('--dry-run', 'say what would be done, and do nothing')
    .option('--json', 'print { group, steps, evidence, keys }')
    .option(...CONFIG)
    .addHelpText('after', EXAMPLES)
    .action((options: Options) => incident(options, io));
}

async function incident(options: Options, io: CliIo): Promise<void> {
  const settings = settingsFor(options.config, io);
  const group = options.group ?? EVERYBODY;
  if (!reasonText.safeParse(options.reason).success) throw new CliError('--reason takes one line of text', 2);
  needGroup(settings, group);
  const stamp = new Date(systemClock.now()).toISOString().replaceAll(/[-:]|\.\d+/g, '');
  const evidence = join(settings.state.dir, 'incidents', stamp);
  const keys: KeyUse[] = [];
  const done: Done[] = [];
  for (const step of steps(settings, {
    group,
    reason: options.reason,
    since: options.since,
    evidence,
    keys,
    io,
  })) {
    const result =
      options.dryRun === true ? { step: step.name, ok: true, what: step.would } : await perform(step);
    done.push(result);
    if (options.json !== true) io.stdout.write(stepLine(result, options.dryRun === true));
  }
  if (options.json === true) io.stdout.write(`${jsonText({ group, steps: done, evidence, keys }, 2)}\n`);
  else if (options.dryRun !== true) io.stdout.write(keyLines(keys, options.since));
  if (done.some(({ ok }) => !ok))
    throw new CliError('not every step was done: see above, mend it, and run it again');
}

function stepLine({ step, ok, what }: Done, dry: boolean): string {
  const how = ok ? 'done  ' : 'FAILED  ';
  return `${dry ? '' : how}${step}: ${safe(what)}\n`;
}

async function perform({ name, run }: Step): Promise<Done> {
  try {
    return { step: name, ok: true, what: await run() };
  } catch (error) {
    return { step: name, ok: false, what: error instanceof Error ? error.message : String(error) };
  }
}

type Ask = {
  readonly group: string;
  readonly reason: string;
  readonly since: string;
  readonly evidence: string;
  readonly keys: KeyUse[];
  readonly io: CliIo;
};

function steps(settings: Settings, ask: Ask): readonly Step[] {
  const { dir } = settings.state;
  const { group, reason, since, evidence, keys, io } = ask;
  const whom = group === EVERYBODY ? 'everybody' : group;
  return [
    { name: 'lockdown', would: `would lock ${whom}`, run: () => lock(dir, group, reason) },
    {
      name: 'record',
      would: `would be copied to ${evidence}`,
      run: () => putAside(join(dir, 'audit'), evidence),
    },
    { name: 'tokens', would: `would be revoked: those of ${whom}`, run: () => revokeTokens(dir, group) },
    {
      name: 'placeholders',
      would: `would be renewed: those of ${whom}`,
      run: () => {
        renewPlaceholders(join(dir, EPOCHS_FILE), group);
        noteAction(dir, { action: 'placeholders.renew', group, subject: null, why: reason });
        return `renewed; what sandboxes of ${whom} hold is refused within a second`;
      },
    },
    {
      name: 'keys',
      would: `would be listed: those that ${whom} used in the last ${since}`,
      run: () => {
        keys.push(...usesOf(join(dir, 'audit'), { group, since, io }));
        return `${new Set(keys.map(({ key }) => key)).size} were used in the last ${since}`;
      },
    },
  ];
}

async function lock(dir: string, group: string, reason: string): Promise<string> {
  const store = openLockdown({ dir, clock: systemClock, watch: false });
  try {
    const { changed, problem } = await changeLockdown(store, { on: true, group, by: commandUser(), reason });
    if (problem !== null) throw new Error(problem);
    if (changed) noteAction(dir, { action: 'lockdown.on', group, subject: null, why: reason });
    return changed ? 'a running proxy ends what is open within a second' : 'was on already';
  } finally {
    store.close();
  }
}

function putAside(audit: string, to: string): string {
  const { files, chains } = copyEvidence(audit, to);
  const broken = chains.find(({ finding }) => finding !== null)?.finding ?? null;
  const proof = broken === null ? 'whole' : `NOT whole: ${broken.file}:${broken.line}: ${broken.text}`;
  return `${files} files in ${to}, the chain is ${proof}; public key: ${PUBLIC_KEY_FILE}`;
}

function revokeTokens(dir: string, group: string): string {
  const store = openTokenStore({ dir, clock: systemClock, watch: false });
  try {
    const some = store
      .list()
      .filter((one) => one.revoked === null && (group === EVERYBODY || one.group === group));
    for (const { id, group: of } of some) {
      store.revoke(id, commandUser());
      noteAction(dir, { action: 'token.revoke', group: of, subject: id, why: 'incident' });
    }
    return `${some.length} revoked`;
  } finally {
    store.close();
  }
}

function usesOf(audit: string, { group, since, io }: Pick<Ask, 'group' | 'since' | 'io'>): readonly KeyUse[] {
  const uses = new KeyUses();
  const from = systemClock.now() - durationMs(since);
  const progress = progressOn(io.stderr, 'reading the record');
  eachRecord(audit, { since: from, holds: '"keys":["', progress }, (record) => {
    if (group === EVERYBODY || record['group'] === group) uses.add(record);
  });
  return uses.all();
}

function keyLines(keys: readonly KeyUse[], since: string): string {
  if (keys.length === 0) return `\nNo key was used in the last ${since}.\n`;
  const lines = keys.map(({ key, identity, calls, first, last, hosts }) =>
    safe(
      `  ${key}  by ${identity}  ${calls} calls from ${first.slice(0, 16)}Z to ${last.slice(0, 16)}Z  at ${hosts.join(', ')}`,
    ),
  );
  return `\nRotate these keys where they were issued, then in their source:\n${lines.join('\n')}\n`;
}
