/** What is legal but unwise, or not yet built, in the settings: warnings of `sallyport check`. */
import type { Problem } from '../policy/model.ts';
import type { Endpoint, Settings } from './settings.ts';
import type { Locate } from './yaml-file.ts';

/** Warnings, each where the value stands: in the file, or in the variable that it came from. */
export function lintSettings(settings: Settings, locate: Locate): readonly Problem[] {
  const { state, admin } = settings;
  const later: [boolean, readonly string[]][] = [[state.redis !== null, ['state', 'redis']]];
  const found = later
    .filter(([set]) => set)
    .map(([, path]) => {
      const message = `\`${path.join('.')}\` is read but does nothing in this version`;
      return { ...locate(path), message, fix: 'do not rely on it yet' };
    });
  if (!isLoopback(admin.listen)) {
    const message = `the admin side listens on ${admin.listen.host}: it must not be reachable from a sandbox`;
    const fix = 'write admin.listen: 127.0.0.1:9090, or keep the sandbox network away from it';
    found.push({ ...locate(['admin', 'listen']), message, fix });
  }
  return found;
}

function isLoopback({ host }: Endpoint): boolean {
  return host.startsWith('127.') || host === '::1' || host === 'localhost';
}
