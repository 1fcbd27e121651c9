/**
 * Where `state.redis` is set: what several replicas share, opened before anything is served. What opens Redis and what
 * signs the entries in it comes from the environment, each also as a file.
 */
import type { OperatorEvent } from '../audit/event.ts';
import { systemClock } from '../base/clock.ts';
import type { ControlPlane } from '../base/control.ts';
import type { Log } from '../base/log.ts';
import { type Environment, secretVariable } from '../base/secret-variable.ts';
import type { Settings } from '../config/settings.ts';
import { loadRoots } from '../dial/roots.ts';
import type { Metrics } from '../metrics/metrics.ts';
import { replicaControl } from '../replicas/control.ts';
import type { Replicas } from '../replicas/replicas.ts';
import type { RedisPlace } from '../state/redis-line.ts';
import { CliError } from './io.ts';

const KEY_BYTES = 32;
const REDIS_PORT = 6_379;
/** How long the start waits for what others have locked and revoked. */
const FIRST_LOOK_MS = 3_000;

/** null: nothing is shared. Throws CliError where the settings cannot be followed. */
export async function openReplicasOf(
  settings: Settings,
  { env, log, version }: { readonly env: Environment; readonly log: Log; readonly version: string },
): Promise<Replicas | null> {
  const { dir, redis } = settings.state;
  if (redis === null) return null;
  const place = placeOf(new URL(redis), env, settings);
  const key = keyOf(env);
  // A client library that nobody else needs in memory.
  const { hasShared, openReplicas } = await import('../replicas/replicas.ts');
  const known = hasShared(dir);
  let replicas: Replicas;
  try {
    replicas = openReplicas({ place, key, dir, clock: systemClock, log, version });
  } catch (cause) {
    throw new CliError(`state.redis: ${cause instanceof Error ? cause.message : String(cause)}`, 1, {
      cause,
    });
  }
  if (await replicas.settled(FIRST_LOOK_MS)) return replicas;
  if (known) return replicas;
  await replicas.close();
  throw new CliError(
    'state.redis: it does not answer, and this replica has never heard what the others have locked and revoked; start it when Redis is there',
  );
}

/** Ties the running proxy to them, once. Returns what the admin side is to see of both. */
export function joinReplicas(
  replicas: Replicas,
  of: {
    readonly control: ControlPlane;
    readonly metrics: Pick<Metrics, 'replicas'>;
    readonly record: (event: OperatorEvent) => void;
    /** hashes of what is in force */
    readonly policies: () => readonly string[] | Promise<readonly string[]>;
  },
): ControlPlane {
  of.metrics.replicas(() => {
    const { seen, policies, connected } = replicas.view();
    return { seen: seen.length, policies, shared: connected };
  });
  replicas.serve(of.control);
  replicas.onTaken(of.record);
  replicas.tellPolicies(of.policies);
  return replicaControl(of.control, replicas);
}

function placeOf(url: URL, env: Environment, settings: Settings): RedisPlace {
  const db = Number(url.pathname.slice(1) || '0');
  if (!Number.isSafeInteger(db) || db < 0)
    throw new CliError('state.redis: the path is no number of a database');
  if (url.search !== '') throw new CliError('state.redis: options in the URL are not read; take them out');
  const { hostname } = url;
  return {
    host: hostname.startsWith('[') ? hostname.slice(1, -1) : hostname,
    port: Number(url.port || REDIS_PORT),
    db,
    username: decodeURIComponent(url.username) || undefined,
    password: secretOf(env, 'SALLYPORT_REDIS_PASSWORD') ?? (decodeURIComponent(url.password) || undefined),
    ca: url.protocol === 'rediss:' ? loadRoots({ extraCa: settings.tls.extraCa }).ca : null,
  };
}

function keyOf(env: Environment): Buffer {
  const text = secretOf(env, 'SALLYPORT_REDIS_KEY')?.trim() ?? '';
  const key = /^[A-Za-z0-9+/]{43}=$/.test(text) ? Buffer.from(text, 'base64') : Buffer.alloc(0);
  if (key.length === KEY_BYTES) return key;
  throw new CliError(
    `state.redis needs SALLYPORT_REDIS_KEY or SALLYPORT_REDIS_KEY_FILE, the same for all replicas: ${KEY_BYTES} bytes in base64 (openssl rand -base64 ${KEY_BYTES})`,
  );
}

function secretOf(env: Environment, name: string): string | undefined {
  return secretVariable(env, name, (words, cause) => new CliError(words, 1, { cause }));
}
