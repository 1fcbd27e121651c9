/** What is legal but unwise, or not yet built, in the settings: warnings of `sallyport check`. */
import type { Problem } from '../policy/model.ts';
import type { Endpoint, Settings } from './settings.ts';

/** Warnings, without positions: a value may as well come from the environment. */
export function lintSettings(settings: Settings): readonly Problem[] {
  const file = settings.file ?? 'settings';
  const { transparent, proxy, state, admin } = settings;
  const warn = (message: string, fix: string): Problem => ({ file, line: 0, column: 0, message, fix });
  const later: [boolean, string][] = [
    [transparent.tls !== null || transparent.http !== null || transparent.dns !== null, 'transparent'],
    [state.redis !== null, 'state.redis'],
    [settings.parentProxy !== null, 'parent_proxy'],
    [proxy.workers !== 1, 'proxy.workers'],
  ];
  const found = later
    .filter(([set]) => set)
    .map(([, key]) => warn(`\`${key}\` is read but does nothing in this version`, 'do not rely on it yet'));
  if (!isLoopback(admin.listen)) {
    const message = `the admin side listens on ${admin.listen.host}: it must not be reachable from a sandbox`;
    found.push(warn(message, 'write admin.listen: 127.0.0.1:9090, or keep the sandbox network away from it'));
  }
  return found;
}

function isLoopback({ host }: Endpoint): boolean {
  return host.startsWith('127.') || host === '::1' || host === 'localhost';
}
