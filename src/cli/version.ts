/** The program's own version, out of package.json: for `--version`, `build_info` and the status page. */
import { readFileSync } from 'node:fs';

/** Works in the sources and in the compiled package: both lie one folder below package.json, cli/ two. */
export function programVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  const parsed: unknown = JSON.parse(text);
  const version =
    typeof parsed === 'object' && parsed !== null && 'version' in parsed ? parsed.version : null;
  if (typeof version !== 'string') throw new Error('package.json names no version');
  return version;
}
