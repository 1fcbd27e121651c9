/**
 * Schemas that others publish, out of Python wheels of the package index: `.ci/run` fetches them into a folder that
 * SALLYPORT_SCHEMAS names. Tests dial nothing, so without it what they would be held against is not there.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import ajv, { type ValidateFunction } from 'ajv/dist/2019.js';

export const SCHEMAS = process.env['SALLYPORT_SCHEMAS'];
const KUBERNETES = 'v1.37.0-local-strict';
const BASE = 'https://schemas.invalid';

/** One file of a wheel, which is a zip archive, as JSON. */
function member(wheel: string, name: string): Record<string, unknown> {
  const folder = SCHEMAS ?? '';
  const file = readdirSync(folder).find((one) => one.startsWith(`${wheel}-`) && one.endsWith('.whl'));
  if (file === undefined) throw new Error(`no ${wheel} in ${folder}`);
  const script =
    'import sys, zipfile; sys.stdout.buffer.write(zipfile.ZipFile(sys.argv[1]).read(sys.argv[2]))';
  const text = execFileSync('python3', ['-c', script, path.join(folder, file), name], { maxBuffer: 1 << 26 });
  const value: unknown = JSON.parse(text.toString());
  if (typeof value !== 'object' || value === null) throw new Error(`${name} is no schema`);
  return { ...value };
}

function validator(): InstanceType<typeof ajv.Ajv2019> {
  // Formats and keywords of their own are theirs: shapes and names are what is looked at.
  return new ajv.Ajv2019({ strict: false, validateFormats: false, allErrors: true });
}

/** What is wrong with a compose file, by the Compose Specification; empty: nothing. */
export function composeProblems(document: unknown): string[] {
  const name = 'check_jsonschema/builtin_schemas/vendor/compose-spec.json';
  const { $schema: _, ...schema } = member('check_jsonschema', name);
  return problems(validator().compile(schema), document);
}

/**
 * Reads the definitions of one version once. The function says what is wrong with a manifest, unknown keys too; `null`: a
 * kind of an operator, which no package knows.
 */
export function kubernetesSchemas(): (
  kind: string,
  apiVersion: string,
  document: unknown,
) => string[] | null {
  const folder = `kubernetes_validate/kubernetes-json-schema/${KUBERNETES}`;
  const all = validator();
  const { $schema: _, ...definitions } = member('kubernetes_validate', `${folder}/_definitions.json`);
  all.addSchema({ ...definitions, $id: `${BASE}/api/_definitions.json` });
  const compiled = new Map<string, ValidateFunction>();
  return (kind, apiVersion, document) => {
    const [group = '', version] = apiVersion.includes('/') ? apiVersion.split('/') : ['', apiVersion];
    if (group.includes('.') && !group.endsWith('.k8s.io')) return null;
    const at = [kind.toLowerCase(), group.split('.')[0], version].filter((part) => part !== '').join('-');
    const known = compiled.get(at);
    if (known !== undefined) return problems(known, document);
    const { $schema: __, ...schema } = member('kubernetes_validate', `${folder}/${at}.json`);
    const made = all.compile({ ...schema, $id: `${BASE}/api/${at}.json` });
    compiled.set(at, made);
    return problems(made, document);
  };
}

function problems(validate: ValidateFunction, document: unknown): string[] {
  if (validate(document)) return [];
  return (validate.errors ?? []).map(
    ({ instancePath, message = '', params }) => `${instancePath} ${message} ${JSON.stringify(params)}`,
  );
}
