/**
 * The YAML files of one folder. What has such a name and cannot be read as a file (a folder that Docker made where a
 * mount's source was missing, a link that leads nowhere) is a problem, never left out: it may be the guardrails.
 */
import { lstatSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { errorCode } from '../base/error-code.ts';
import type { Problem } from '../policy/model.ts';

const YAML_NAME = /^[^.].*\.ya?ml$/;
/** Someone meant a YAML file, and editors show it as one. */
const NEARLY_YAML_NAME = /^[^.].*\.ya?ml$/i;

export type YamlNames = { readonly names: readonly string[] } | { readonly code: string };

/**
 * Sorted names; hidden ones (editors' and Kubernetes' own) are left out. `shown`: the folder's name for people.
 * `code`: the file system's, for a folder that cannot be read. Adds to `problems`; never throws.
 */
export function yamlNames(dir: string, shown: string, problems: Problem[]): YamlNames {
  let found: readonly string[];
  try {
    found = readdirSync(dir);
  } catch (error) {
    return { code: errorCode(error) };
  }
  const names: string[] = [];
  for (const name of found.filter((one) => NEARLY_YAML_NAME.test(one)).sort()) {
    const wrong = YAML_NAME.test(name) ? wrongWith(join(dir, name)) : misnamed(name);
    if (wrong === null) names.push(name);
    else if (wrong !== 'gone') problems.push({ file: `${shown}/${name}`, line: 0, column: 0, ...wrong });
  }
  return { names };
}

function misnamed(name: string): Pick<Problem, 'message' | 'fix'> {
  const right = name.replace(/[^.]*$/, (ending) => ending.toLowerCase());
  return { message: 'a file with this ending would not be read', fix: `rename it to ${right}` };
}

/** null: it is a file, or leads to one. `gone`: it was removed after the folder was read. */
function wrongWith(path: string): Pick<Problem, 'message' | 'fix'> | 'gone' | null {
  try {
    if (statSync(path).isFile()) return null;
    return { message: 'this is not a file', fix: 'remove it, or put the file there that was meant' };
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ENOENT' && lstatSync(path, { throwIfNoEntry: false }) === undefined) return 'gone';
    const message = `the file cannot be read (${code})`;
    return { message, fix: 'check where the link leads, and the permissions of the folder' };
  }
}
