/** What a command may touch of the outside world; tests hand in their own. */
import type { Readable, Writable } from 'node:stream';

export type CliIo = {
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: Writable & { readonly isTTY?: boolean };
  readonly stderr: Writable;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
};

/** Exit status: 0 done, 1 refused or found wanting, 2 wrong use (contract section 7). */
export type ExitStatus = 0 | 1 | 2;

/** Thrown by a command to end with a message for people and a status; `main.ts` prints it. */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly status: ExitStatus;

  constructor(message: string, status: ExitStatus = 1, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
  }
}
