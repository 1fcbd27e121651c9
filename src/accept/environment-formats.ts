/**
 * The environment of a sandbox as text: `export` lines to evaluate, dotenv, JSON, Docker's `--env-file`, and the
 * lists that compose files and Kubernetes manifests take. Called by `self.ts` for `GET /env` and by the command `env`.
 */
import { type EnvironmentAsk, type EnvVariable, environmentOf } from './environment.ts';
import { exportScript } from './export-script.ts';

/** `export` is another name of `sh`. */
export const ENV_FORMATS = ['sh', 'export', 'dotenv', 'json', 'docker', 'compose', 'k8s'] as const;
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
    case 'compose':
      return yaml([
        'environment:',
        ...variables.map(({ name, value }) => `  ${name}: ${yamlString(value.replaceAll('$', '$$$$'))}`),
      ]);
    case 'k8s':
      return yaml([
        'env:',
        ...variables.flatMap(({ name, value }) => [
          `  - name: ${name}`,
          `    value: ${yamlString(value.replaceAll('$', '$$$$'))}`,
        ]),
      ]);
    case 'sh':
    case 'export':
      return plain(exportScript(variables, ask));
  }
}

function plain(lines: readonly string[]): { type: string; body: string } {
  return { type: 'text/plain; charset=utf-8', body: `${lines.join('\n')}\n` };
}

function yaml(lines: readonly string[]): { type: string; body: string } {
  return { type: 'application/yaml', body: `${lines.join('\n')}\n` };
}

/** JSON is YAML, but for what JSON leaves raw and YAML does not allow: it goes as an escape. */
function yamlString(value: string): string {
  return JSON.stringify(value).replace(
    /[\u007f-\u009f\u2028\u2029\ufeff]/g,
    (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
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
