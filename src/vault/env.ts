/** `env:NAME`: values from the proxy's own environment. They cannot change while the process runs. */
import { type SecretSource, SecretSourceError, valueFrom } from './source.ts';

export function createEnvSource(env: Readonly<Record<string, string | undefined>>): SecretSource {
  return {
    kind: 'env',
    async get(name) {
      const text = Object.hasOwn(env, name) ? env[name] : undefined;
      if (text === undefined)
        throw new SecretSourceError('not_found', `environment variable ${name} is not set`);
      return valueFrom(`env:${name}`, Buffer.from(text, 'utf8'));
    },
  };
}
