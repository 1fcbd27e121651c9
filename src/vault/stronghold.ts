/**
 * `stronghold:DEPLOYMENT#VARIABLE`: keys of an API Stronghold deployment profile, by the CLI that its users have:
 * `api-stronghold-cli deployment env-file DEPLOYMENT --stdout`. The CLI is logged in by its own file below HOME. One run
 * serves all variables of a deployment. A variable that a later run no longer prints was taken from this
 * user's group, and is not used any more.
 */
import { type CachedOptions, createCachedSource, type SourceEvents } from './cached.ts';
import { parseDotenv } from './dotenv.ts';
import { reducedEnv, runProgram } from './program.ts';
import { type SecretSource, SecretSourceError } from './source.ts';

const CLI = 'api-stronghold-cli';
/** All that one deployment may print. */
const MAX_OUTPUT_BYTES = 1_048_576;
const OWN_VARIABLES = /^API_STRONGHOLD_/;

/** `base`: the folder whose `.api-stronghold-deployment` names deployments; the CLI's place: `API_STRONGHOLD_CLI`, else PATH. */
export function createStrongholdSource(
  opts: SourceEvents & { readonly base: string; readonly env: Readonly<Record<string, string | undefined>> },
): SecretSource {
  const fetch: CachedOptions['fetch'] = async (deployment, signal) => {
    const program = opts.env['API_STRONGHOLD_CLI'] || CLI;
    const output = await runProgram({
      argv: [program, 'deployment', 'env-file', deployment, '--stdout'],
      cwd: opts.base,
      env: reducedEnv(opts.env, [OWN_VARIABLES]),
      maxBytes: MAX_OUTPUT_BYTES,
      signal,
    }).catch((error: unknown) => {
      throw inWords(error);
    });
    const { entries, faults } = parseDotenv(textOf(output), { shell: true });
    const fault = faults[0];
    if (fault !== undefined) {
      // Where one line is not understood, the next ones may be the inside of its value: none is taken.
      throw new SecretSourceError('damaged', `line ${fault.line} of what ${CLI} printed: ${fault.message}`);
    }
    const rows = entries.map(({ name, value }) => [name, Buffer.from(value, 'utf8')] as const);
    return { values: new Map(rows) };
  };
  return createCachedSource({ ...opts, kind: 'stronghold', split: splitName, fetch });
}

/** Wipes `output`. Replaced bytes would make another key of it: they are refused. */
function textOf(output: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(output);
  } catch {
    // Its own error quotes nothing, and says less than ours.
    throw new SecretSourceError('damaged', `what ${CLI} printed is not UTF-8`);
  } finally {
    output.fill(0);
  }
}

/** A program that is not there does not say that a key is not there. */
function inWords(error: unknown): unknown {
  if (!(error instanceof SecretSourceError)) return error;
  if (error.code === 'not_found') return new SecretSourceError('unreadable', `${CLI} is not on the PATH`);
  const hint = error.code === 'unreadable' ? ' (is the CLI logged in as this user?)' : '';
  return new SecretSourceError(error.code, `${CLI}: ${error.message}${hint}`);
}

function splitName(name: string): { unit: string; field: string } {
  const at = name.lastIndexOf('#');
  if (at === -1) throw new SecretSourceError('bad_name', `stronghold:${name} names no variable`);
  return { unit: name.slice(0, at), field: name.slice(at + 1) };
}
