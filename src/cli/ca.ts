/**
 * `sallyport ca show`: the interception CA as it lies in `certs/`, for people, scripts and trust stores.
 * Reads the certificate alone: it makes nothing and never opens the key. Registered by `main.ts`.
 */
import type { X509Certificate } from 'node:crypto';
import type { Command } from 'commander';
import { loadSettings } from '../config/settings.ts';
import { authorityPaths, readCertificates } from '../intercept/authority.ts';
import { AuthorityError } from '../intercept/authority-error.ts';
import { readAuthorityFile } from '../intercept/authority-files.ts';
import { CliError, type CliIo } from './io.ts';

const EXAMPLES = `
Examples:
  $ sallyport ca show
  $ sallyport ca show --pem > sallyport-ca.crt
  $ sallyport ca show --json | jq -r .fingerprint_sha256
`;

/** Adds `ca show [--json | --pem] [--config F]`. */
export function addCa(program: Command, io: CliIo): void {
  const ca = program.command('ca').description('the interception CA').addHelpText('after', EXAMPLES);
  ca.command('show')
    .description('what the CA certificate says: name, validity, fingerprint, file')
    .option('--json', 'print a JSON object')
    .option('--pem', 'print the certificate itself')
    .option('--config <file>', 'settings file (default: sallyport.yaml, or SALLYPORT_CONFIG)')
    .addHelpText('after', EXAMPLES)
    .action((options: ShowOptions) => {
      io.stdout.write(show(options, io));
    });
}

type ShowOptions = { json?: boolean; pem?: boolean; config?: string };

function show(options: ShowOptions, io: CliIo): string {
  if (options.json && options.pem) throw new CliError('choose one of --json and --pem', 2);
  const path = authorityPaths(certsFolder(options.config, io)).cert;
  const certs = readFrom(path);
  if (options.pem) return certs.map((cert) => cert.toString()).join('');
  const view = viewOf(certs[0], path);
  return options.json ? `${JSON.stringify(view, null, 2)}\n` : table(view);
}

function certsFolder(file: string | undefined, io: CliIo): string {
  const loaded = loadSettings({ ...(file === undefined ? {} : { file }), env: io.env, cwd: io.cwd });
  if ('settings' in loaded) return loaded.settings.certs;
  const lines = loaded.problems.map((at) => `${at.file}:${at.line}:${at.column}: ${at.message} (${at.fix})`);
  throw new CliError(lines.join('\n'));
}

function readFrom(path: string): [X509Certificate, ...X509Certificate[]] {
  try {
    const pem = readAuthorityFile(path);
    if (pem !== undefined) return readCertificates(path, pem);
  } catch (error) {
    if (error instanceof AuthorityError) throw new CliError(error.message, 1, { cause: error });
    throw error;
  }
  throw new CliError(`${path} is missing: run \`sallyport init\` to make a CA`);
}

type CaView = {
  readonly subject: string;
  readonly issuer: string;
  readonly not_before: string;
  readonly not_after: string;
  readonly key: string;
  readonly serial: string;
  readonly fingerprint_sha256: string;
  readonly file: string;
};

function viewOf(cert: X509Certificate, file: string): CaView {
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

function table(view: CaView): string {
  const rows = Object.entries(view).map(([name, value]) => `${name.replaceAll('_', ' ').padEnd(20)}${value}`);
  return `${rows.join('\n')}\n`;
}
