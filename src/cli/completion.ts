/**
 * `completion bash|zsh`: a script that completes commands, options and group names, written from the commands
 * themselves, so that it cannot lag behind them. Group names are asked for when Tab is pressed.
 */
import { Argument, type Command, Option } from 'commander';
import { type BranchNode, bashScript, zshScript } from './completion-scripts.ts';
import { CliError, type CliIo } from './io.ts';
import { policiesFor, settingsFor } from './load.ts';

const SCRIPTS = { bash: bashScript, zsh: zshScript } as const;
type Shell = keyof typeof SCRIPTS;
const SHELLS: readonly Shell[] = ['bash', 'zsh'];

const EXAMPLES = `
Examples:
  $ eval "$(sallyport completion bash)"                              this shell alone
  $ sallyport completion bash > /etc/bash_completion.d/sallyport
  $ sallyport completion zsh > ~/.zfunc/_sallyport                   with fpath+=~/.zfunc before compinit
`;

/** The other commands must be added, too: the script is made of them. */
export function addCompletion(program: Command, io: CliIo): void {
  program
    .command('completion')
    .description('print a completion script for the shell')
    .addArgument(new Argument('[shell]', 'for which shell').choices(SHELLS))
    // For the scripts alone: no help shows it.
    .addOption(new Option('--groups').hideHelp())
    .addHelpText('after', EXAMPLES)
    .action((shell: Shell | undefined, { groups }: { groups?: true }) => {
      if (groups === true)
        io.stdout.write(
          groupNames(io)
            .map((name) => `${name}\n`)
            .join(''),
        );
      else if (shell === undefined) throw new CliError(`say for which shell: ${SHELLS.join(' or ')}`, 2);
      else io.stdout.write(SCRIPTS[shell](branches(program, [])));
    });
}

/** Nothing where settings or policies are not in order: a completion says no more. */
function groupNames(io: CliIo): readonly string[] {
  try {
    return [...policiesFor(settingsFor(undefined, io)).groups.keys()].sort();
  } catch {
    return [];
  }
}

/** The command itself and all below it. `path`: the names that lead to it. */
function branches(command: Command, path: readonly string[]): readonly BranchNode[] {
  const help = command.createHelp();
  const commands = help.visibleCommands(command).filter((one) => one.name() !== 'help');
  const options = help.visibleOptions(command).map(({ long, short, description, flags }) => ({
    name: long ?? short ?? '',
    about: description,
    value: /<([a-z]+)>/.exec(flags)?.[1] ?? null,
  }));
  const choices = command.registeredArguments.flatMap(({ argChoices = [], description: about }) =>
    argChoices.map((name) => ({ name, about })),
  );
  const names = commands.map((one) => ({ name: one.name(), about: one.description() }));
  const here = { path, words: [...names, ...choices], options };
  return [here, ...commands.flatMap((one) => branches(one, [...path, one.name()]))];
}
