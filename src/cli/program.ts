/**
 * The command line as a whole: which commands there are, how help and errors look, which exit status comes
 * out (contract section 7: 0 done, 1 refused or found wanting, 2 wrong use). Called by `main.ts` and by tests,
 * which bring their own streams. Each command is in a file of its own and loaded when it is named, so that
 * a short command does not pay for the proxy.
 */
import { Command, CommanderError } from 'commander';
import { CliError, type CliIo, type ExitStatus } from './io.ts';
import { programVersion } from './version.ts';

type Register = (program: Command, io: CliIo) => void;

/** In the order of the help. */
const COMMANDS: ReadonlyMap<string, () => Promise<Register>> = new Map([
  ['start', async () => (await import('./start.ts')).addStart],
  ['init', async () => (await import('./init.ts')).addInit],
  ['check', async () => (await import('./check.ts')).addCheck],
  ['explain', async () => (await import('./explain.ts')).addExplain],
  ['test', async () => (await import('./test.ts')).addTest],
  ['learn', async () => (await import('./learn.ts')).addLearn],
  ['vault', async () => (await import('./vault.ts')).addVault],
  ['token', async () => (await import('./token.ts')).addToken],
  ['approvals', async () => (await import('./approvals.ts')).addApprovals],
  ['lockdown', async () => (await import('./lockdown.ts')).addLockdown],
  ['incident', async () => (await import('./incident.ts')).addIncident],
  ['operator', async () => (await import('./operator.ts')).addOperator],
  ['env', async () => (await import('./env.ts')).addEnv],
  ['doctor', async () => (await import('./doctor.ts')).addDoctor],
  ['top', async () => (await import('./top.ts')).addTop],
  ['audit', async () => (await import('./audit.ts')).addAudit],
  ['ca', async () => (await import('./ca.ts')).addCa],
  ['completion', async () => (await import('./completion.ts')).addCompletion],
  ['demo', async () => (await import('./demo.ts')).addDemo],
  // Not in the help: `start` runs it where several processes serve.
  ['worker', async () => (await import('./worker.ts')).addWorker],
]);

const EXAMPLES = `
Examples:
  $ sallyport start                                   run the proxy, making what is missing
  $ sallyport check                                   are settings and policies in order
  $ sallyport explain --group ai-agents https://api.openai.com/v1/models
  $ sallyport token create --group ai-agents --expires 30d

Exit status: 0 done, 1 refused or found wanting, 2 wrong use.
`;

/**
 * Runs one command to its end (`start`: until it is stopped) and gives the exit status. Never throws: an
 * error is one line on standard error, without a stack unless SALLYPORT_DEBUG is set.
 */
export async function runProgram(argv: readonly string[], io: CliIo): Promise<ExitStatus> {
  try {
    const program = await buildProgram(argv[0] ?? '', io);
    await program.parseAsync([...(unknownCommand(program, argv) ?? argv)], { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    io.stderr.write(messageOf(error, io));
    return error instanceof CliError ? error.status : 1;
  }
}

/**
 * commander answers `nonsense --help` and `help nonsense` with the help of what it knows and status 0. This gives
 * the arguments up to the unknown name alone, at which it finds fault; `null`: each name is one of a command.
 */
function unknownCommand(program: Command, argv: readonly string[]): readonly string[] | null {
  const names = argv[0] === 'help' ? argv.slice(1) : argv;
  let parent = program;
  for (const [at, name] of names.entries()) {
    if (name.startsWith('-') || name === 'help' || parent.commands.length === 0) return null;
    const found = parent.commands.find((one) => one.name() === name);
    if (found === undefined) return names.slice(0, at + 1);
    parent = found;
  }
  return null;
}

async function buildProgram(named: string, io: CliIo): Promise<Command> {
  const program = new Command('sallyport')
    .description(
      'The controlled way out of an agent network: allowlists per group, keys swapped at the edge.',
    )
    .version(programVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show help')
    .helpCommand('help [command]', 'show the help of a command')
    .addHelpText('after', EXAMPLES)
    .showHelpAfterError('(--help shows the usage)')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      outputError: (text, write) => write(unquoted(text).replace(/^error: /, 'sallyport: ')),
      getOutHasColors: () => coloursWanted(io),
      getErrHasColors: () => coloursWanted(io),
    });
  const registers = await Promise.all(loadersFor(named).map((load) => load()));
  for (const register of registers) register(program, io);
  settle(program);
  return program;
}

/** The command that is named; all of them for help, for an unknown name's "did you mean" and for completion. */
function loadersFor(named: string): (() => Promise<Register>)[] {
  if (named === '--version' || named === '-V') return [];
  const load = COMMANDS.get(named);
  return load === undefined || named === 'completion' ? [...COMMANDS.values()] : [load];
}

/** Exit and output rules reach every command, however it was made. */
function settle(parent: Command): void {
  for (const command of parent.commands) {
    command.copyInheritedSettings(parent);
    refuseTwice(command);
    settle(command);
  }
}

/** Of two values the last would count in silence: `lockdown on --group a --group b` would lock one of them. */
function refuseTwice(command: Command): void {
  const given = new Set<string>();
  for (const option of command.options) {
    if (option.variadic || !(option.required || option.optional)) continue;
    command.on(`option:${option.name()}`, () => {
      if (given.has(option.name())) command.error(`error: option '${option.flags}' is given twice`);
      given.add(option.name());
    });
  }
}

/** Without what was given too much: somebody may have put a key there. And in whole sentences. */
function unquoted(text: string): string {
  return text
    .replace(/(too many arguments[^\n]* but got \d+): [^\n]*/s, '$1.')
    .replace(/(unknown option '--?[\w-]+)=.*'/s, "$1'")
    .replace(/ is invalid\. (?=a |1s )/, ' is to be ');
}

/** https://no-color.org: any value but the empty one. */
function coloursWanted(io: CliIo): boolean {
  return io.stdout.isTTY === true && (io.env['NO_COLOR'] ?? '') === '';
}

function messageOf(error: unknown, io: CliIo): string {
  if (!(error instanceof Error)) return `sallyport: ${String(error)}\n`;
  if (io.env['SALLYPORT_DEBUG'] && error.stack !== undefined) return `${error.stack}\n`;
  // A command that has said all there is to say ends with an empty message and a status.
  return error.message === '' ? '' : `sallyport: ${error.message}\n`;
}
