/**
 * The environment of a sandbox as text: `export` lines to evaluate, dotenv, JSON, or Docker's `--env-file`.
 * Called by `self.ts` for `GET /env` and by the command `env`.
 */
import { type EnvironmentAsk, type EnvVariable, environmentOf } from './environment.ts';
import { exportScript } from './export-script.ts';

export const ENV_FORMATS = ['export', 'dotenv', 'json', 'docker'] as const;
export type EnvFormat = (typeof ENV_FORMATS)[number];

/** The answer of `/env` and of the command `env`: its text and media type. */
export function printEnvironment(format: EnvFormat, ask: EnvironmentAsk): { type: string; body: string } {
  const variables = environmentOf(ask);
  switch (format) {
    case 'json': {
      const flat = Object.fromEntries(variables.map(({ name, value }) => [name, value]));
      return { type: 'application/json', body: `${JSON.stringify(flat, null, 2)}\n` };
    }
    case 'dotenv':
      return plain(variables.map(({ name, value }) => `${name}=${quoteDotenv(value)}`));
    case 'docker':
      return plain(variables.map(dockerLine));
    case 'export':
      return plain(exportScript(variables, ask));
  }
}

function plain(lines: readonly string[]): { type: string; body: string } {
  return { type: 'text/plain; charset=utf-8', body: `${lines.join('\n')}\n` };
}

/** Single quotes keep every reader from expanding `$`; line breaks need the double-quoted form's escapes. */
function quoteDotenv(value: string): string {
  if (/^[\w./:@%+,=-]*$/.test(value)) return value;
  if (!/['\r\n]/.test(value)) return `'${value}'`;
  const escaped = value
    .replaceAll('\\', '\\\\')
    .replaceAll('"', '\\"')
    .replaceAll('$', '\\$')
    .replaceAll('\r', '\\r')
    .replaceAll('\n', '\\n');
  return `"${escaped}"`;
}

/** `--env-file` takes the rest of the line as it stands: no quotes, and no way to hold a line break. */
function dockerLine({ name, value }: EnvVariable): string {
  return /[\r\n]/.test(value)
    ? `# ${name}: has line breaks, which this format cannot hold`
    : `${name}=${value}`;
}
