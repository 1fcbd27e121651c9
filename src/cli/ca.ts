/**
 * `sallyport ca show|rotate`: the interception CA as it lies in `certs/`, for people, scripts and trust stores, and its
 * change to a new one. `show` reads certificates alone: it makes nothing and never opens a key. Registered by `program.ts`.
 */
import { type Command, Option } from 'commander';
import { systemClock } from '../base/clock.ts';
import { authorityPaths } from '../intercept/authority.ts';
import { AuthorityError } from '../intercept/authority-error.ts';
import { type RotationStep, rotate } from '../intercept/rotate.ts';
import { type Published, readPublished, readStage, type Stage } from '../intercept/rotation.ts';
import { CliError, type CliIo } from './io.ts';
import { CONFIG, settingsFor } from './load.ts';
import { noteDone } from './note.ts';

const EXAMPLES = `
Examples:
  $ sallyport ca show
  $ sallyport ca show --pem > sallyport-ca.crt
  $ sallyport ca show --json | jq -r .fingerprint_sha256
`;
const ROTATE_EXAMPLES = `
Examples:
  $ sallyport ca rotate             # a second CA: sandboxes get both from now on, the old one signs
  $ sallyport ca rotate --switch    # when every sandbox has both: the new one signs
  $ sallyport ca rotate --finish    # when nothing holds the old one alone any more: it is forgotten
  $ sallyport ca rotate --cancel    # instead of the last: back to the old one alone

A CA of your own: put ca-next.pem and ca-next.key beside ca.pem before the first step. A running proxy follows at once.
`;

type ShowOptions = { readonly json?: true; readonly pem?: true; readonly config?: string };
type RotateOptions = {
  readonly switch?: true;
  readonly finish?: true;
  readonly cancel?: true;
  readonly json?: true;
  readonly config?: string;
};

/** Adds `ca show [--json | --pem]` and `ca rotate [--switch | --finish | --cancel] [--json]`. */
export function addCa(program: Command, io: CliIo): void {
  const ca = program.command('ca').description('the interception CA').addHelpText('after', EXAMPLES);
  ca.command('show')
    .description('what the CA certificate says: name, validity, fingerprint, file')
    .option('--json', 'print a JSON object')
    .option('--pem', 'print what sandboxes are to trust: the certificate, both while it is changed')
    .option(...CONFIG)
    .addHelpText('after', EXAMPLES)
    .action((options: ShowOptions) => {
      io.stdout.write(show(options, io));
    });
  ca.command('rotate')
    .description('change to a new CA, in three steps, so that no sandbox is cut off')
    .addOption(new Option('--switch', 'sign with the new CA').conflicts(['finish', 'cancel']))
    .addOption(new Option('--finish', 'forget the old CA').conflicts('cancel'))
    .option('--cancel', 'forget the new CA')
    .option('--json', 'print what `ca show --json` prints')
    .option(...CONFIG)
    .addHelpText('after', ROTATE_EXAMPLES)
    .action((options: RotateOptions) => change(options, io));
}

function show(options: ShowOptions, io: CliIo): string {
  if (options.json && options.pem) throw new CliError('choose one of --json and --pem', 2);
  const dir = settingsFor(options.config, io).certs;
  return guarded(dir, () => {
    const shown = look(dir);
    if (options.pem) return shown.published.flatMap(({ certs }) => certs.map(String)).join('');
    return options.json ? `${JSON.stringify(viewOf(shown), null, 2)}\n` : table(viewOf(shown));
  });
}

const DONE: Readonly<Record<RotationStep, { readonly action: string; readonly next: string }>> = {
  announce: {
    action: 'ca.announce',
    next:
      'Sandboxes that fetch /bundle.pem, /ca.pem, /env or /install.sh get both CAs from now on; the old one signs.\n' +
      'When all of them have done so: sallyport ca rotate --switch\n',
  },
  switch: {
    action: 'ca.switch',
    next:
      'The new CA signs; sandboxes still get both. One that fails now has the old one alone: it fetches the bundle again.\n' +
      'When all work: sallyport ca rotate --finish (or, to go back, --cancel)\n',
  },
  finish: { action: 'ca.finish', next: 'The new CA is the only one.\n' },
  cancel: { action: 'ca.cancel', next: 'The CA of before is the only one.\n' },
};

function change(options: RotateOptions, io: CliIo): void {
  const step = stepOf(options);
  const settings = settingsFor(options.config, io);
  const dir = settings.certs;
  const { action, next } = DONE[step];
  const shown = guarded(dir, () => {
    rotate(step, dir, systemClock.now());
    return look(dir);
  });
  const subject = shown.published[0].certs[0].fingerprint256;
  noteDone(settings.state.dir, { action, group: null, subject, why: null }, io);
  if (options.json) {
    io.stdout.write(`${JSON.stringify(viewOf(shown), null, 2)}\n`);
    return;
  }
  io.stdout.write(`${table(viewOf(shown))}\n${next}`);
}

function stepOf({ switch: switched, finish, cancel }: RotateOptions): RotationStep {
  if (switched) return 'switch';
  if (finish) return 'finish';
  return cancel ? 'cancel' : 'announce';
}

type Shown = {
  readonly stage: Stage | null;
  /** newest CA first */
  readonly published: readonly [Published, ...Published[]];
};

function look(dir: string): Shown {
  const [first, ...more] = readPublished(dir);
  if (first !== undefined) return { stage: readStage(dir), published: [first, ...more] };
  throw new CliError(`${authorityPaths(dir).cert} is missing: run \`sallyport init\` to make a CA`);
}

/** Trouble with the CA's files is the command's error. */
function guarded<T>(dir: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof AuthorityError) throw new CliError(error.message, 1, { cause: error });
    if (!(error instanceof Error && 'code' in error) || error instanceof CliError) throw error;
    throw new CliError(`the CA in ${dir} cannot be changed: ${error.message}`, 1, { cause: error });
  }
}

type CertView = {
  readonly subject: string;
  readonly issuer: string;
  readonly not_before: string;
  readonly not_after: string;
  readonly key: string;
  readonly serial: string;
  readonly fingerprint_sha256: string;
  readonly file: string;
};
/** The one that signs; `change`: how far the change to or from `other` is. */
type CaView = CertView & { readonly change: Stage | null; readonly other: CertView | null };

function viewOf({ stage, published }: Shown): CaView {
  const [newest, old = null] = published;
  const [signer, other] = stage === 'announced' && old !== null ? [old, newest] : [newest, old];
  return { ...certView(signer), change: stage, other: other === null ? null : certView(other) };
}

function certView({ certs: [cert], file }: Published): CertView {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = cert.publicKey;
  return {
    subject: oneLine(cert.subject),
    issuer: oneLine(cert.issuer),
    not_before: cert.validFromDate.toISOString(),
    not_after: cert.validToDate.toISOString(),
    key: `${type ?? 'unknown'} ${details?.namedCurve ?? details?.modulusLength ?? ''}`.trim(),
    serial: cert.serialNumber.toLowerCase(),
    fingerprint_sha256: cert.fingerprint256,
    file,
  };
}

/** node:crypto gives one attribute a line, control characters escaped by OpenSSL. */
function oneLine(name: string): string {
  return name.split('\n').join(', ');
}

function table({ change, other, ...signer }: CaView): string {
  if (change === null) return rowsOf(signer);
  const first = `${'change'.padEnd(20)}${change}\n\nsigns\n${rowsOf(signer)}`;
  return other === null ? first : `${first}\npublished beside it\n${rowsOf(other)}`;
}

function rowsOf(view: CertView): string {
  const rows = Object.entries(view).map(([name, value]) => `${name.replaceAll('_', ' ').padEnd(20)}${value}`);
  return `${rows.join('\n')}\n`;
}
