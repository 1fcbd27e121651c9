/** What a schema cannot say of the settings: keys that need one another, names as keys. `settings.ts` calls it. */
import type { Problem } from '../policy/model.ts';
import { DURATION, durationMs } from '../policy/units.ts';
import type { YamlFile } from './yaml-file.ts';

const MAX_RETAIN_DAYS = 36_500;

/** Of `audit.retain`. Files are of one day each; with less than one the record would go while it is written. */
export function isRetention(text: string): boolean {
  if (!DURATION.test(text)) return true; // said by the pattern
  const days = durationMs(text) / durationMs('1d');
  return Number.isInteger(days) && days >= 1 && days <= MAX_RETAIN_DAYS;
}

/** A name server without anything to answer; null: all is well. */
export function transparentProblem(
  of: { readonly dns: string | null; readonly address: string | null },
  yaml: YamlFile,
): Problem | null {
  if (of.dns === null || of.address !== null) return null;
  const message = '`transparent.dns` has nothing to answer: `transparent.address` is not set';
  const fix = 'write the address at which sandboxes reach this proxy';
  return { file: yaml.file, ...yaml.locate(['transparent', 'dns']), message, fix };
}

/** `dns.hosts` with its names as A-labels, or what is wrong with them. */
export function fixedAnswers(
  given: Readonly<Record<string, readonly string[]>>,
  yaml: YamlFile,
): { hosts: ReadonlyMap<string, readonly string[]> } | { problems: readonly Problem[] } {
  const hosts = new Map<string, readonly string[]>();
  const problems: Problem[] = [];
  for (const [written, addresses] of Object.entries(given)) {
    const name = written.toLowerCase().replace(/\.$/, '');
    if (/^(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*$/.test(name) && name.length <= 253) {
      hosts.set(name, addresses);
      continue;
    }
    const message = `"${written}" is no host name`;
    const fix = 'write the name in A-labels, without a port';
    problems.push({ file: yaml.file, ...yaml.locate(['dns', 'hosts'], written), message, fix });
  }
  return problems.length > 0 ? { problems } : { hosts };
}
