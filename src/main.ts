/**
 * Entry of the program: the process's streams and arguments go to `cli/program.ts`, its status comes back.
 * The only place that ends the process. Started by `sallyport.js`, which has checked the Node version.
 */
import { runProgram } from './cli/program.ts';

// `sallyport audit tail | head` closes our output early: that is its reader's right, not an error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : 1);
});

const status = await runProgram(process.argv.slice(2), {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  cwd: process.cwd(),
});
// An empty write is done when everything before it is: output to a pipe must not be cut off.
process.stdout.write('', () => process.exit(status));
