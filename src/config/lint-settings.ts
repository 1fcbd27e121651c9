/** What is legal but unwise in the settings: warnings of `sallyport check`. */
import type { Problem } from '../policy/model.ts';
import type { Endpoint, Settings } from './settings.ts';
import type { Locate } from './yaml-file.ts';

/** Warnings, each where the value stands: in the file, or in the variable that it came from. */
export function lintSettings(settings: Settings, locate: Locate): readonly Problem[] {
  const { state, admin } = settings;
  const found: Problem[] = [];
  if (state.redis?.startsWith('redis:') === true && !isLoopback({ host: new URL(state.redis).hostname })) {
    const message = 'Redis is reached without TLS: whoever listens reads its password';
    found.push({
      ...locate(['state', 'redis']),
      message,
      fix: 'write rediss://, or keep that network to the replicas',
    });
  }
  if (!isLoopback(admin.listen)) {
    const message = `the admin side listens on ${admin.listen.host}: it must not be reachable from a sandbox`;
    const fix = 'write admin.listen: 127.0.0.1:9090, or keep the sandbox network away from it';
    found.push({ ...locate(['admin', 'listen']), message, fix });
  }
  return found;
}

function isLoopback({ host }: Pick<Endpoint, 'host'>): boolean {
  return host.startsWith('127.') || host === '::1' || host === 'localhost';
}
