/**
 * The composition root: makes every part once, wires the stages together, starts and stops them. No decision is
 * taken here. `cli/start.ts` runs it; tests make one with settings of their own.
 */
import path from 'node:path';
import { serveHttp } from './accept/http.ts';
import { createListener } from './accept/listener.ts';
import { answerSelf } from './accept/self.ts';
import { FlowRecord } from './audit/flow-record.ts';
import { type AuditTrail, openAuditTrail } from './audit/writer.ts';
import { type Clock, systemClock } from './base/clock.ts';
import { LiveRegistry } from './base/live.ts';
import type { Log } from './base/log.ts';
import { Scratch } from './base/scratch.ts';
import type { Carry, Gate } from './base/stages.ts';
import { createIdSource } from './base/ulid.ts';
import type { Endpoint, Settings } from './config/settings.ts';
import { createSnapshotHolder, type SnapshotHolder } from './config/snapshot.ts';
import { createDialer, type Dialer } from './dial/connect.ts';
import { createOwnAddresses } from './dial/own.ts';
import { createPool, type Pool } from './dial/pool.ts';
import { createResolver, type Resolver } from './dial/resolve.ts';
import { loadRoots, type Roots } from './dial/roots.ts';
import type { Identity } from './flow/identity.ts';
import { type Denied, denied } from './flow/reason.ts';
import type { Treat } from './flow/verdict.ts';
import { createGate } from './gate/gate.ts';
import { createRevoker, type Revoker } from './gate/revoke.ts';
import { parseProxyAuthorization } from './identify/credential.ts';
import { createIdentifier, type Identifier } from './identify/identify.ts';
import { openTokenStore, type TokenStore } from './identify/token.ts';
import type { CertificateAuthority } from './intercept/authority.ts';
import { createLeafMint } from './intercept/leaf.ts';
import { HttpSession } from './intercept/session.ts';
import type { SessionDeps } from './intercept/session-job.ts';
import { createPlainCarrier, createTerminator } from './intercept/terminate.ts';
import { createMetrics, type Metrics } from './metrics/metrics.ts';
import { createTunnel } from './tunnel/tunnel.ts';
import { type Bindings, createBindings } from './vault/bindings.ts';
import { createKeyring, type Keyring } from './vault/keyring.ts';
import { openSources } from './vault/sources.ts';

export type ProxyOptions = {
  readonly settings: Settings;
  readonly log: Log;
  readonly version: string;
  readonly authority: CertificateAuthority;
  /** 32 bytes that placeholders are derived from */
  readonly placeholderKey: Buffer;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock?: Clock;
};

/** Every part of a proxy, for the admin side, the CLI and tests. */
export type Parts = {
  readonly options: ProxyOptions;
  readonly clock: Clock;
  readonly snapshots: SnapshotHolder;
  readonly tokens: TokenStore;
  readonly identifier: Identifier;
  readonly metrics: Metrics;
  readonly trail: AuditTrail;
  readonly live: LiveRegistry;
  readonly scratch: Scratch;
  readonly resolver: Resolver;
  readonly roots: Roots;
  readonly dialer: Dialer;
  readonly pool: Pool;
  readonly keyring: Keyring;
  readonly bindings: Bindings;
  readonly gate: Gate;
  readonly revoker: Revoker;
  /** is an identity still good under the policy in force */
  readonly stillValid: (identity: Identity, client: string) => Denied | null;
  readonly newId: () => string;
  /** changes while the proxy runs */
  readonly state: { draining: boolean; listeners: Endpoint[]; startedAt: number };
};

/** Opens files, makes the parts. Throws when the audit folder, the vault or an extra CA cannot be opened. */
export function createParts(options: ProxyOptions): Parts {
  const { settings, log, version } = options;
  const clock = options.clock ?? systemClock;
  const state: Parts['state'] = { draining: false, listeners: [], startedAt: clock.now() };
  const metrics = createMetrics({ version });
  const snapshots = createSnapshotHolder(settings.policies, clock);
  const trail = openAuditTrail({
    dir: path.join(settings.state.dir, 'audit'),
    sync: settings.audit.sync,
    retainMs: settings.audit.retainMs,
    clock,
    onFailure: (error) => {
      metrics.auditFailure();
      log.error({ error: error.message }, 'audit: a record could not be written');
    },
  });
  trail.onEvent((event) => metrics.observe(event));
  const tokens = openTokenStore({
    dir: settings.state.dir,
    clock,
    watch: true,
    onProblem: (message) => log.error(message),
  });
  const identifier = createIdentifier({ tokens });
  const live = new LiveRegistry({
    opened: (flow) => metrics.opened(flow.identity.group, flow.treat),
    closed: (flow) => metrics.closed(flow.identity.group, flow.treat),
  });
  const gate = createGate({ snapshot: snapshots.current });
  const stillValid = (identity: Identity, client: string): Denied | null => {
    const snapshot = snapshots.current();
    return snapshot === null ? denied('not_ready') : identifier.stillValid(identity, client, snapshot);
  };
  const dial = createDialParts(options, clock, metrics, state);
  const keys = createKeyParts(options, clock, metrics);
  return {
    options,
    clock,
    snapshots,
    tokens,
    identifier,
    metrics,
    trail,
    live,
    scratch: new Scratch(),
    ...dial,
    ...keys,
    gate,
    revoker: createRevoker({ gate, stillValid }),
    stillValid,
    newId: createIdSource(clock),
    state,
  };
}

function createDialParts(options: ProxyOptions, clock: Clock, metrics: Metrics, state: Parts['state']) {
  const { settings } = options;
  const resolver = createResolver({
    servers: settings.dns.servers.map(({ host, port }) =>
      host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`,
    ),
    hosts: Object.fromEntries(settings.dns.hosts),
    clock,
    onLookup: (outcome) => metrics.dnsLookup(outcome),
  });
  const roots = loadRoots({ extraCa: settings.tls.extraCa });
  const own = createOwnAddresses({
    clock,
    listeners: () => state.listeners.map(({ host, port }) => ({ address: host, port })),
  });
  const dialer = createDialer({
    resolver,
    own,
    tls: { ca: roots.ca },
    onConnect: (outcome) => metrics.upstreamConnection(outcome),
  });
  return { resolver, roots, dialer, pool: createPool({ dialer, clock }) };
}

function createKeyParts(options: ProxyOptions, clock: Clock, metrics: Metrics) {
  const { settings, env, placeholderKey } = options;
  const keyring = createKeyring({
    sources: openSources({ dir: settings.state.dir, env, base: settings.root }),
    clock,
    onFetch: (source, outcome) => metrics.secretFetch(source, outcome),
  });
  metrics.secretAges(() => keyring.ages());
  const shapesFile = path.join(settings.state.dir, 'shapes.json');
  return { keyring, bindings: createBindings({ keyring, placeholderKey, shapesFile }) };
}

/** The stages, wired: what the listener needs to serve a connection. */
export function createFront(parts: Parts): ReturnType<typeof createListener> {
  const { gate, clock, trail, newId, live, snapshots, dialer, options } = parts;
  const session = sessionDeps(parts);
  const carry = carriers(parts, session);
  const connect = {
    gate,
    vet: dialer.vet,
    vetNow: dialer.vetNow,
    carry,
    stillValid: session.stillValid,
    snapshotId: session.snapshotId,
    onError: session.onError,
  };
  const { holdsKey } = session;
  const opening = { trail, clock, holdsKey, stage: 'connect' as const };
  const describe = (client: string, record: FlowRecord): void => {
    const snapshot = snapshots.current();
    if (snapshot === null) return;
    record.policy = snapshot.set.hash;
    const known = parts.identifier.identify({ address: client, credential: { kind: 'none' } }, snapshot);
    if (!('kind' in known)) record.identity = known;
  };
  const { authority, log } = options;
  const bundlePem = parts.roots.bundlePem([authority.certPem]);
  const http = {
    ...connect,
    openSession: (ask: ConstructorParameters<typeof HttpSession>[1]) => new HttpSession(session, ask),
    snapshot: snapshots.current,
    draining: session.draining,
    credentialOf: parseProxyAuthorization,
    identify: parts.identifier.identify,
    describe,
    holdsKey,
    newRecord: (ask: { flow: string; client: string }) =>
      new FlowRecord({ ...opening, requestId: ask.flow, via: 'connect', ...ask }),
    answerSelf: (ask: Parameters<Parameters<typeof serveHttp>[0]['answerSelf']>[0]) => {
      const bindings = 'kind' in ask.identity ? [] : session.bindings(ask.identity).bindings;
      return answerSelf({ ...ask, bindings, caPem: authority.certPem, bundlePem });
    },
  };
  const listener = createListener({
    live,
    scratch: parts.scratch,
    clock,
    newId,
    draining: session.draining,
    onError: session.onError,
    http: (link, flow, first) => serveHttp(http, link, flow, first),
    faultRecord: (link, flow) => {
      const client = link.address;
      const record = new FlowRecord({ ...opening, flow, requestId: flow, client, via: null });
      describe(client, record);
      return record;
    },
  });
  listener.on('error', (error) => log.error({ error: error.message }, 'listener'));
  return listener;
}

function sessionDeps(parts: Parts): SessionDeps {
  const { snapshots, dialer, state, bindings } = parts;
  const bindingsOf = (identity: Identity) => {
    const group = snapshots.current()?.set.groups.get(identity.group);
    // Judged just before with the same snapshot: a group that is gone was refused.
    if (group === undefined) throw new Error(`no group ${identity.group}`);
    return bindings.forIdentity(identity, group);
  };
  return {
    gate: parts.gate,
    pool: parts.pool,
    vet: dialer.vet,
    live: parts.live,
    clock: parts.clock,
    trail: parts.trail,
    newId: parts.newId,
    holdsKey: (text) => parts.keyring.leaks().found(text),
    onError: (error) => {
      const shown = error instanceof Error ? error.stack : String(error);
      parts.options.log.error({ error: shown }, 'a connection failed on an exception');
    },
    bindings: bindingsOf,
    stillValid: parts.stillValid,
    snapshotId: () => snapshots.current()?.id ?? '',
    policyHash: () => snapshots.current()?.set.hash ?? '',
    draining: () => state.draining,
  };
}

function carriers(parts: Parts, session: SessionDeps): Readonly<Record<Treat, Carry>> {
  const { clock, live, scratch, dialer, metrics, options } = parts;
  const mint = createLeafMint({
    authority: options.authority,
    clock,
    onMint: () => metrics.leafCertificate(),
  });
  return {
    tunnel: createTunnel({ clock, live, scratch, dial: dialer.tcp }),
    intercept: createTerminator({
      ...session,
      contextFor: mint.contextFor,
      onHandshakeError: (host, error) =>
        options.log.warn(
          { host, error: error.message },
          'TLS with the client failed; does the sandbox trust our CA?',
        ),
    }),
    plain: createPlainCarrier(session),
  };
}
