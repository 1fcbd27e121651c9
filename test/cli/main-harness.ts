/** Runs the command line in this process, with streams of its own and an installation in a temporary folder. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import type { ExitStatus } from '../../src/cli/io.ts';
import { runProgram } from '../../src/cli/program.ts';

export type Ran = { readonly status: ExitStatus; readonly out: string; readonly err: string };

export type Installation = {
  readonly dir: string;
  run(
    args: readonly string[],
    more?: { stdin?: string; env?: Record<string, string>; tty?: boolean },
  ): Promise<Ran>;
  remove(): void;
};

/** `policies`: file name to text. Settings are the defaults of an empty folder, unless `settings` says more. */
export function installation(
  opts: { policies?: Record<string, string>; settings?: string } = {},
): Installation {
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-cli-'));
  mkdirSync(join(dir, 'policies', 'profiles'), { recursive: true });
  for (const [name, text] of Object.entries(opts.policies ?? {}))
    writeFileSync(join(dir, 'policies', name), text);
  if (opts.settings !== undefined) writeFileSync(join(dir, 'sallyport.yaml'), opts.settings);
  return {
    dir,
    run: async (args, more = {}) => {
      const [stdout, stderr] = [new PassThrough(), new PassThrough()];
      const status = await runProgram(args, {
        stdin: Readable.from(more.stdin === undefined ? [] : [Buffer.from(more.stdin)]),
        stdout: Object.assign(stdout, { isTTY: more.tty ?? false }),
        stderr,
        env: more.env ?? {},
        cwd: dir,
      });
      return { status, out: textOf(stdout), err: textOf(stderr) };
    },
    remove: () => rmSync(dir, { recursive: true, force: true }),
  };
}

export const AGENTS = `version: 1
group: ai-agents
identify:
  sources: [172.25.0.0/16]
rules:
  - allow: api.openai.com
`;

function textOf(stream: PassThrough): string {
  const read: unknown = stream.read();
  return Buffer.isBuffer(read) ? read.toString('utf8') : '';
}
