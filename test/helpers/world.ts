/**
 * A proxy of a test's own: settings, policies and state in a folder that goes away, TLS upstreams with a CA that
 * this proxy trusts, and readers for what it recorded. Everything listens on port 0.
 */
import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import type tls from 'node:tls';
import { type Clock, systemClock } from '../../src/base/clock.ts';
import { createLog } from '../../src/base/log.ts';
import { ensureInstall } from '../../src/cli/install.ts';
import { loadSettings } from '../../src/config/settings.ts';
import { type CertificateAuthority, loadOrCreateAuthority } from '../../src/intercept/authority.ts';
import { buildLeafCertificate, keyIdOf, pemOf } from '../../src/intercept/certificate.ts';
import { createLeafMint } from '../../src/intercept/leaf.ts';
import { type RunningProxy, startProxy } from '../../src/lifecycle.ts';
import type { Caps } from '../../src/shares.ts';
import type { StateStore } from '../../src/state/store.ts';
import { parseAuthority } from '../../src/wire/authority.ts';
import { jsonLines } from './json.ts';

export type World = {
  readonly dir: string;
  readonly proxy: RunningProxy;
  readonly port: number;
  /** PEM of the proxy's CA */
  readonly caPem: string;
  /** text that the proxy logged */
  log(): string;
  /** records of the audit trail so far, oldest first */
  audit(): Promise<Record<string, unknown>[]>;
  metrics(): Promise<string>;
  /** writes a file below `policies/` and reloads */
  setPolicy(name: string, yaml: string): void;
  /** files that hold secrets etc. */
  write(name: string, text: string): string;
  stop(): Promise<void>;
};

export type WorldOptions = {
  /** file name below `policies/` to YAML */
  readonly policies: Readonly<Record<string, string>>;
  /** further settings, YAML */
  readonly settings?: string;
  /** written below the folder before the start */
  readonly files?: Readonly<Record<string, string>>;
  readonly hosts?: Readonly<Record<string, readonly string[]>>;
  /** name servers, `127.0.0.1:PORT` */
  readonly dns?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** default: the system's */
  readonly clock?: Clock;
  /** default: those of a real process */
  readonly caps?: Partial<Caps>;
  readonly store?: StateStore;
};

/** The system's clock with hands that a test can move on, for limits longer than a test may take. */
export function movableClock(): Clock & { advance(ms: number): void } {
  let ahead = 0;
  return {
    now: () => systemClock.now() + ahead,
    mono: () => systemClock.mono() + ahead,
    advance: (ms) => {
      ahead += ms;
    },
  };
}

export async function makeWorld(options: WorldOptions): Promise<World> {
  const dir = mkdtempSync(path.join(tmpdir(), 'sallyport-test-'));
  const write = (name: string, text: string): string => {
    const file = path.join(dir, name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, text, { mode: 0o600 });
    return file;
  };
  write('upstream-ca.pem', upstreamAuthority().certPem);
  for (const [name, text] of Object.entries(options.policies)) write(`policies/${name}`, text);
  for (const [name, text] of Object.entries(options.files ?? {})) write(name, text);
  const hosts = JSON.stringify(options.hosts ?? {});
  const servers = JSON.stringify(options.dns ?? []);
  write(
    'sallyport.yaml',
    `proxy: { listen: "127.0.0.1:0", drain: 1s }\nadmin: { listen: "127.0.0.1:0" }\ntls: { extra_ca: [upstream-ca.pem] }\ndns: { hosts: ${hosts}, servers: ${servers} }\n${options.settings ?? ''}`,
  );
  const env = options.env ?? {};
  const loaded = loadSettings({ file: path.join(dir, 'sallyport.yaml'), env, cwd: dir });
  if (!('settings' in loaded)) throw new Error(JSON.stringify(loaded.problems));
  const stream = new PassThrough();
  let logged = '';
  stream.on('data', (bytes: Buffer) => {
    logged += bytes.toString();
  });
  const installed = ensureInstall(loaded.settings, { now: Date.now(), env });
  const { authority, placeholderKey } = installed;
  const log = createLog({ stream });
  const proxy = await startProxy({
    settings: loaded.settings,
    log,
    version: 'test',
    authority,
    placeholderKey,
    env,
    ...(options.clock === undefined ? {} : { clock: options.clock }),
    ...(options.caps === undefined ? {} : { caps: options.caps }),
    ...(options.store === undefined ? {} : { store: options.store }),
  });
  return {
    dir,
    proxy,
    port: proxy.address.port,
    caPem: authority.certPem,
    log: () => logged,
    audit: () => readAudit(proxy, path.join(dir, '.sallyport', 'audit')),
    metrics: async () => {
      await flushTurns(4);
      return proxy.parts.metrics.render();
    },
    setPolicy: (name, yaml) => {
      write(`policies/${name}`, yaml);
      proxy.reload();
    },
    write,
    stop: async () => {
      await proxy.stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** Everything recorded so far: waits until events that are on their way stand in the file. */
async function readAudit(proxy: RunningProxy, dir: string): Promise<Record<string, unknown>[]> {
  await flushTurns(4);
  void proxy;
  const files = readdirSync(dir)
    .filter((name) => name.endsWith('.jsonl'))
    .sort();
  return files.flatMap((name) => jsonLines(readFileSync(path.join(dir, name), 'utf8')));
}

async function flushTurns(turns: number): Promise<void> {
  for (let turn = 0; turn < turns; turn += 1) {
    const { promise, resolve } = Promise.withResolvers<void>();
    setImmediate(resolve);
    await promise;
  }
}

let shared: CertificateAuthority | null = null;

/** The CA that signs the certificates of test upstreams; the worlds trust it. */
export function upstreamAuthority(): CertificateAuthority {
  if (shared === null) {
    const dir = mkdtempSync(path.join(tmpdir(), 'sallyport-upstream-ca-'));
    shared = loadOrCreateAuthority({ dir, now: Date.now() }).authority;
    rmSync(dir, { recursive: true, force: true });
  }
  return shared;
}

/** Certificate and key as PEM, for servers that take no context. */
export function upstreamPair(name: string): { cert: string; key: string } {
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const publicKey = pair.publicKey.export({ type: 'spki', format: 'der' });
  const { subjectDer: issuer, keyId: issuerKeyId, signatureAlgorithm, sign } = upstreamAuthority();
  const raw = buildLeafCertificate({
    notBefore: Date.now() - 60_000,
    notAfter: Date.now() + 3_600_000,
    name,
    altName: { kind: 'dns', bytes: Buffer.from(name) },
    issuer,
    issuerKeyId,
    publicKey,
    keyId: keyIdOf(publicKey),
    signature: { algorithm: signatureAlgorithm, sign },
  });
  return { cert: pemOf(raw), key: pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() };
}

/** A TLS context for an upstream that calls itself `name`. */
export function upstreamContext(name: string): tls.SecureContext {
  const at = parseAuthority(`${name}:443`);
  if ('reason' in at) throw new Error(`bad name ${name}`);
  return createLeafMint({ authority: upstreamAuthority(), clock: systemClock }).contextFor(at);
}

/**
 * Polls until `check` gives something, with a limit that is for machines with other work: what comes is returned at once.
 * What `check` throws is a no as well, since who is asked too early answers oddly; at the limit it is the cause.
 */
export async function eventually<T>(
  check: () => T | undefined | false | null | Promise<T | undefined | false | null>,
  limitMs = 15_000,
): Promise<T> {
  const until = performance.now() + limitMs;
  for (;;) {
    let cause: unknown;
    try {
      const found = await check();
      if (found !== undefined && found !== false && found !== null) return found;
    } catch (error) {
      cause = error;
    }
    if (performance.now() > until)
      throw new Error(`nothing within ${limitMs} ms: ${check.toString()}`, { cause });
    const { promise, resolve } = Promise.withResolvers<void>();
    setTimeout(resolve, 10);
    await promise;
  }
}
