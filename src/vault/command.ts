/** `command:PROGRAM ARGUMENT …`: what an operator's program prints is the value, one trailing newline cut off. */
import { resolve } from 'node:path';
import { splitCommand } from '../policy/command-line.ts';
import { type CachedOptions, createCachedSource, type SourceEvents } from './cached.ts';
import { withoutNewline } from './file.ts';
import { reducedEnv, runProgram } from './program.ts';
import { MAX_VALUE_BYTES, type SecretSource, SecretSourceError } from './source.ts';

/** The value and the newline that is no part of it. */
const MAX_OUTPUT_BYTES = MAX_VALUE_BYTES + 2;

/** `base`: the program's working folder, which relative paths count from. */
export function createCommandSource(
  opts: SourceEvents & { readonly base: string; readonly env: Readonly<Record<string, string | undefined>> },
): SecretSource {
  const fetch: CachedOptions['fetch'] = async (line, signal) => {
    const split = splitCommand(line);
    if ('problem' in split) throw new SecretSourceError('bad_name', split.problem);
    const [program = '', ...rest] = split.words;
    const output = await runProgram({
      argv: [program.includes('/') ? resolve(opts.base, program) : program, ...rest],
      cwd: opts.base,
      env: reducedEnv(opts.env),
      maxBytes: MAX_OUTPUT_BYTES,
      signal,
    });
    const value = Buffer.from(withoutNewline(output));
    output.fill(0);
    if (value.length === 0) throw new SecretSourceError('empty', 'the program printed nothing');
    return { values: new Map([['', value]]) };
  };
  return createCachedSource({ ...opts, kind: 'command', split: (unit) => ({ unit, field: '' }), fetch });
}
