/**
 * Entry of the program: the process's streams and arguments go to `cli/program.ts`, its status comes back.
 * The only place that ends the process. Started by `sallyport.js`, which has checked the Node version.
 */
import { runProgram } from './cli/program.ts';

/** Commands that work for others, whoever reads what they say. */
const SERVING: ReadonlySet<string | undefined> = new Set(['start', 'worker']);
/** From the end of such a command to that of its process, where an output takes nothing. */
const LAST_WORDS_MS = 500;
const serving = SERVING.has(process.argv[2]);

// `sallyport audit tail | head` closes our output early: that is its reader's right, not an error. A full disk is one:
// what was asked for is lost, a token among it that is shown once.
function outputFailed(error: NodeJS.ErrnoException, status = 0): void {
  if (serving) return;
  if (error.code === 'EPIPE') process.exit(status);
  process.stderr.write(`sallyport: standard output cannot be written (${error.code ?? error.message})\n`);
  process.exit(1);
}
process.stdout.on('error', (error: NodeJS.ErrnoException) => outputFailed(error));
// A collector of logs that ended, a full disk behind the log: no reason to end, and nowhere to say so.
process.stderr.on('error', () => {});

const status = await runProgram(process.argv.slice(2), {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  cwd: process.cwd(),
});
if (serving) setTimeout(() => process.exit(status), LAST_WORDS_MS).unref();
// An empty write is done when everything before it is: output to a pipe must not be cut off.
process.stdout.write('', (error) => {
  if (error) outputFailed(error, status);
  process.exit(status);
});
