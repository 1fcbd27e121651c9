/**
 * `sallyport env --group G`: what `GET /env` prints, for building images and compose files where no proxy runs
 * yet. The same table, the same placeholders: both derive them from the installation's placeholder key.
 */
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { type Command, Option } from 'commander';
import { ENV_FORMATS, type EnvFormat, printEnvironment } from '../accept/environment-formats.ts';
import { systemClock } from '../base/clock.ts';
import { errorCode } from '../base/error-code.ts';
import type { Settings } from '../config/settings.ts';
import { loadRoots } from '../dial/roots.ts';
import type { Credential, Identity } from '../flow/identity.ts';
import { openTokenStore } from '../identify/token.ts';
import { authorityPaths } from '../intercept/authority.ts';
import { AuthorityError } from '../intercept/authority-error.ts';
import { readPublished } from '../intercept/rotation.ts';
import type { CompiledGroup } from '../policy/model.ts';
import { createBindings } from '../vault/bindings.ts';
import { EPOCHS_FILE, openEpochs } from '../vault/epochs.ts';
import { readKeyFile } from '../vault/key-file.ts';
import { createKeyring } from '../vault/keyring.ts';
import { SecretSourceError } from '../vault/source.ts';
import { openSources } from '../vault/sources.ts';
import { CliError, type CliIo } from './io.ts';
import { CONFIG, knownGroup, policiesFor, settingsFor } from './load.ts';

const EXAMPLES = `
Examples:
  $ eval "$(sallyport env --group ai-agents --proxy http://sallyport:8080)"
  $ sallyport env --group ai-agents --format docker > agents.env
  $ sallyport env --group ai-agents --token-stdin < token-file
`;

/** A token is 70 characters; what is much longer is not one. */
const MAX_INPUT_BYTES = 4096;

type EnvOptions = {
  group: string;
  format: EnvFormat;
  json?: true;
  proxy?: string;
  tokenStdin?: true;
  config?: string;
};
type Asker = { readonly identity: Identity; readonly credential: Credential };

/** Adds `env --group G [--format F | --json] [--proxy URL] [--token-stdin]`. */
export function addEnv(program: Command, io: CliIo): void {
  program
    .command('env')
    .description("print a sandbox's environment: proxy variables, certificates, placeholders")
    .requiredOption('--group <group>', 'the group that the sandbox belongs to')
    .addOption(new Option('--format <format>', 'how to print it').choices(ENV_FORMATS).default('sh'))
    .addOption(new Option('--json', 'the same as --format json').conflicts('format'))
    .option('--proxy <url>', 'the proxy as the sandbox reaches it (default: from proxy.listen)')
    .option('--token-stdin', 'read an issued token: its placeholders, and the token in the proxy URL')
    .option(...CONFIG)
    .addHelpText('after', EXAMPLES)
    .action((options: EnvOptions) => print(options, io));
}

async function print(options: EnvOptions, io: CliIo): Promise<void> {
  const settings = settingsFor(options.config, io);
  const set = policiesFor(settings);
  const group = set.groups.get(knownGroup(set, options.group));
  if (group === undefined) throw new CliError(`there is no group ${options.group}`);
  const proxyUrl = options.proxy === undefined ? ownUrl(settings, io) : proxyUrlOf(options.proxy);
  const asker = options.tokenStdin ? await byToken(settings, group, io) : bySource(group);
  const caPem = readCa(settings);
  const bindings = await bindingsOf(settings, { identity: asker.identity, group, io });
  const format = options.json ? 'json' : options.format;
  io.stdout.write(printEnvironment(format, { ...asker, proxyUrl, bindings, caPem }).body);
}

function bySource(group: CompiledGroup): Asker {
  const identity: Identity = { id: `group:${group.name}`, group: group.name, proof: 'source' };
  return { identity, credential: { kind: 'none' } };
}

async function byToken(settings: Settings, group: CompiledGroup, io: CliIo): Promise<Asker> {
  const token = await firstLine(io.stdin);
  let trouble = '';
  const onProblem = (message: string): void => {
    trouble = message;
  };
  const store = openTokenStore({ dir: settings.state.dir, clock: systemClock, watch: false, onProblem });
  const record = store.verify(token);
  store.close();
  if (trouble !== '') throw new CliError(trouble);
  if (record === null)
    throw new CliError('the token on standard input is not valid: unknown, expired or revoked');
  if (record.group !== group.name) {
    throw new CliError(`the token is one of group ${record.group}, not of ${group.name}`);
  }
  return {
    identity: { id: record.id, group: record.group, proof: 'token' },
    credential: { kind: 'token', token },
  };
}

async function firstLine(stdin: Readable): Promise<string> {
  let text = '';
  for await (const chunk of stdin) {
    text += String(chunk);
    if (text.includes('\n') || text.length > MAX_INPUT_BYTES) break;
  }
  return (text.split('\n')[0] ?? '').trim();
}

/** Keys whose value cannot be read now still have their placeholder: that is how it survives a rotation. */
async function bindingsOf(
  settings: Settings,
  ask: { identity: Identity; group: CompiledGroup; io: CliIo },
): Promise<readonly { env: string; placeholder: string }[]> {
  const { dir } = settings.state;
  try {
    const placeholderKey = readKeyFile(join(dir, 'placeholder.key'));
    const keyring = createKeyring({
      sources: openSources({ dir, env: ask.io.env, base: settings.root, ...trustFor(ask.group, settings) }),
      clock: systemClock,
    });
    try {
      // No authority makes a key for this: the running proxy remembered the shape, or takes the one for keys unseen.
      const refs = ask.group.secrets.map((secret) => secret.from);
      await keyring.load(refs.filter(({ kind }) => kind !== 'mint'));
      for (const { env, from } of ask.group.secrets) {
        const problem = from.kind === 'mint' ? null : keyring.problem(from);
        if (problem !== null) ask.io.stderr.write(`note: ${env} has no value now: ${problem}\n`);
      }
      const shapesFile = join(dir, 'shapes.json');
      const epochs = openEpochs(join(dir, EPOCHS_FILE));
      const bindings = createBindings({ keyring, placeholderKey, shapesFile, epochs });
      return bindings.forIdentity(ask.identity, ask.group).bindings;
    } finally {
      keyring.close();
    }
  } catch (error) {
    if (!(error instanceof SecretSourceError)) throw error;
    const cure = error.code === 'locked' ? ' (`sallyport init` makes what is missing)' : '';
    throw new CliError(`${error.message}${cure}`, 1, { cause: error });
  }
}

/** Of servers that keys are asked from. Reading the system's roots takes a while, and most groups need none. */
function trustFor(group: CompiledGroup, { tls }: Settings): { readonly ca?: readonly string[] } {
  if (!group.secrets.some(({ from }) => from.kind === 'kv')) return {};
  try {
    return { ca: loadRoots({ extraCa: tls.extraCa }).ca };
  } catch (error) {
    const isOurs = error instanceof Error && errorCode(error) === 'ERR_EXTRA_CA';
    throw isOurs ? new CliError(error.message, 1, { cause: error }) : error;
  }
}

function readCa(settings: Settings): string {
  const path = authorityPaths(settings.certs).cert;
  try {
    const published = readPublished(settings.certs);
    if (published.length > 0) return published.flatMap(({ certs }) => certs.map(String)).join('');
  } catch (error) {
    if (error instanceof AuthorityError) throw new CliError(error.message, 1, { cause: error });
    throw error;
  }
  throw new CliError(`${path} is missing: run \`sallyport init\` to make a CA`);
}

function proxyUrlOf(text: string): string {
  const wrong = new CliError(`--proxy takes http://host:port, not ${JSON.stringify(text)}`, 2);
  if (!URL.canParse(text)) throw wrong;
  const url = new URL(text);
  const bare =
    url.pathname === '/' &&
    url.search === '' &&
    url.hash === '' &&
    url.username === '' &&
    url.password === '';
  if (url.protocol !== 'http:' || !bare) throw wrong;
  return `http://${url.hostname}:${url.port === '' ? '80' : url.port}`;
}

function ownUrl(settings: Settings, io: CliIo): string {
  const { host, port } = settings.proxy.listen;
  if (host === '0.0.0.0' || host === '::') {
    io.stderr.write(
      'note: proxy.listen is every address; the name "sallyport" is assumed. --proxy says another.\n',
    );
    return `http://sallyport:${port}`;
  }
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}
