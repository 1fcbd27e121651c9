/**
 * The composition root: makes every part once. `front.ts` wires the stages over them, `lifecycle.ts` starts and stops
 * them. No decision is taken here.
 */
import path from 'node:path';
import { workerChain } from './audit/chains.ts';
import { checkpointKeyPath } from './audit/checkpoint.ts';
import { tellFailures } from './audit/failure-log.ts';
import { type AuditTrail, openAuditTrail } from './audit/writer.ts';
import { type Clock, systemClock } from './base/clock.ts';
import { tuneEngine } from './base/engine.ts';
import { LiveRegistry, type LiveWatcher } from './base/live.ts';
import type { Log } from './base/log.ts';
import { Scratch } from './base/scratch.ts';
import type { Gate } from './base/stages.ts';
import { createIdSource } from './base/ulid.ts';
import type { Endpoint, Settings } from './config/settings.ts';
import { createSnapshotHolder, type SnapshotHolder } from './config/snapshot.ts';
import { createDialer, type Dialer } from './dial/connect.ts';
import { createOwnAddresses } from './dial/own.ts';
import { createParent, type Parent } from './dial/parent.ts';
import { createPool, type Pool } from './dial/pool.ts';
import { createResolver, type Places, type Resolver } from './dial/resolve.ts';
import { loadRoots, type Roots } from './dial/roots.ts';
import type { Identity } from './flow/identity.ts';
import { type Denied, denied } from './flow/reason.ts';
import { ApprovalDesk } from './gate/approvals.ts';
import { createGate } from './gate/gate.ts';
import { createRevoker, type Revoker } from './gate/revoke.ts';
import { createIdentifier, type Identifier } from './identify/identify.ts';
import { openTokenStore, type TokenStore } from './identify/token.ts';
import type { CertificateAuthority } from './intercept/authority.ts';
import { followAuthority, type LiveAuthority } from './intercept/live-authority.ts';
import { createMetrics, type Metrics } from './metrics/metrics.ts';
import { noteRefusedKeys } from './refused-keys.ts';
import { type Caps, createShares, type Shares } from './shares.ts';
import type { Lock, LockdownStore } from './state/lockdown.ts';
import { openLockdown } from './state/lockdown-file.ts';
import type { Rulings } from './state/rulings.ts';
import { RulingsFile } from './state/rulings-file.ts';
import type { StateStore } from './state/store.ts';
import type { Opened } from './telemetry/open.ts';
import { type Bindings, createBindings } from './vault/bindings.ts';
import { EPOCHS_FILE, openEpochs } from './vault/epochs.ts';
import { createKeyring, type Keyring } from './vault/keyring.ts';
import { openRemembered, REMEMBERED_FILE } from './vault/remembered.ts';
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
  /** what limits count in; default: this process alone */
  readonly store?: StateStore;
  /** where decisions of people are kept; default: the state folder */
  readonly rulings?: Rulings;
  readonly caps?: Partial<Caps>;
  /** locks of another process that stand in no file */
  readonly locks?: readonly Lock[];
  /** sees every record, beside the metrics; `traced`: what clients say of their traces is looked for */
  readonly telemetry?: Opened | null;
  /** this process is one of several that serve the same addresses: its number, from 1 */
  readonly worker?: number;
};

/** Every part of a proxy, for the admin side, the CLI and tests. */
export type Parts = Shares & {
  readonly options: ProxyOptions;
  readonly clock: Clock;
  /** the CAs in force */
  readonly authority: LiveAuthority;
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
  /** the hop through the operator's proxy, where one is set */
  readonly parent: Parent | null;
  readonly pool: Pool;
  readonly keyring: Keyring;
  readonly bindings: Bindings;
  readonly lockdown: LockdownStore;
  readonly gate: Gate;
  readonly revoker: Revoker;
  /** requests that wait for a person */
  readonly approvals: ApprovalDesk;
  readonly rulings: Rulings;
  /** is an identity still good under the policy in force, and its group not locked */
  readonly stillValid: (identity: Identity, client: string) => Denied | null;
  readonly newId: () => string;
  /** changes while the proxy runs */
  readonly state: {
    draining: boolean;
    listeners: Endpoint[];
    /** the parent hop and the transparent listeners: ours as well, and never to be reached through us */
    others: Endpoint[];
    /** the same of the processes beside this one */
    peers: readonly Endpoint[];
    startedAt: number;
  };
};

/** Opens files, makes the parts. Throws when the audit folder, the vault or an extra CA cannot be opened. */
export function createParts(options: ProxyOptions): Parts {
  tuneEngine();
  const { settings, log, version } = options;
  const clock = options.clock ?? systemClock;
  const state: Parts['state'] = {
    draining: false,
    listeners: [],
    others: [],
    peers: [],
    startedAt: clock.now(),
  };
  const metrics = createMetrics({ version });
  const authority = followFiles(options, clock, metrics);
  const snapshots = createSnapshotHolder(settings.policies, clock);
  const audit = path.join(settings.state.dir, 'audit');
  const trail = openAuditTrail({
    dir: options.worker === undefined ? audit : workerChain(audit, options.worker),
    keyPath: checkpointKeyPath(audit),
    sync: settings.audit.sync,
    retainMs: settings.audit.retainMs,
    clock,
    onFailure: tellFailures({ log, clock, count: () => metrics.auditFailure() }),
  });
  trail.onEvent((event) => metrics.observe(event));
  const exported = options.telemetry?.begin(metrics);
  if (exported !== undefined) trail.onEvent((event) => exported(event));
  const tokens = openTokenStore({
    dir: settings.state.dir,
    clock,
    watch: true,
    onProblem: (message) => log.error(message),
  });
  const identifier = createIdentifier({ tokens });
  const shares = createShares(options, clock, snapshots);
  const watcher: LiveWatcher = {
    opened: (flow) => metrics.opened(flow.identity.group, flow.treat),
    closed: (flow) => metrics.closed(flow.identity.group, flow.treat),
  };
  const judging = createJudges(options, { clock, metrics, snapshots, identifier });
  const dial = createDialParts(options, { clock, metrics, state, places: shares.lookups });
  const keys = createKeyParts(options, { clock, metrics, ca: dial.roots.ca });
  const newId = createIdSource(clock);
  const desk = createDesk(options, { clock, metrics, state, newId, waiting: shares.waiting });
  trail.onEvent((event) => noteRefusedKeys(event, keys.keyring, snapshots));
  return {
    options,
    clock,
    authority,
    snapshots,
    tokens,
    identifier,
    metrics,
    trail,
    live: new LiveRegistry(watcher, shares.seats),
    ...shares,
    scratch: new Scratch(),
    ...dial,
    ...keys,
    ...judging,
    ...desk,
    newId,
    state,
  };
}

function followFiles({ settings, authority: first, log }: ProxyOptions, clock: Clock, metrics: Metrics) {
  const live = followAuthority({
    dir: settings.certs,
    first,
    clock,
    onChange: ({ signer, stage }) =>
      log.info({ ca: signer.cert.fingerprint256, change: stage ?? 'none' }, 'interception CA'),
    onProblem: (problem) => log.error({ problem }, 'interception CA: the one in force stays'),
  });
  metrics.authority(() => {
    const { signer, stage } = live.current();
    return { notAfter: signer.cert.validToDate.getTime(), stage };
  });
  return live;
}

type JudgeNeeds = Pick<Parts, 'clock' | 'metrics' | 'snapshots' | 'identifier'>;

function createJudges(options: ProxyOptions, { clock, metrics, snapshots, identifier }: JudgeNeeds) {
  const { dir } = options.settings.state;
  const lockdown = openLockdown({ dir, clock, watch: true, held: options.locks });
  metrics.lockedGroups(() => lockdown.locks().map(({ group }) => group));
  const gate = createGate({ snapshot: snapshots.current, lockdown: (group) => lockdown.denial(group) });
  const stillValid = (identity: Identity, client: string): Denied | null => {
    const locked = lockdown.denial(identity.group);
    if (locked !== null) return locked;
    const snapshot = snapshots.current();
    return snapshot === null ? denied('not_ready') : identifier.stillValid(identity, client, snapshot);
  };
  return { lockdown, gate, stillValid, revoker: createRevoker({ gate, stillValid }) };
}

type DeskNeeds = Pick<Parts, 'clock' | 'metrics' | 'state' | 'newId' | 'waiting'>;

function createDesk(options: ProxyOptions, { clock, metrics, state, newId, waiting }: DeskNeeds) {
  const { settings, log } = options;
  const onProblem = (message: string): void => log.error(message);
  const rulings = options.rulings ?? new RulingsFile({ dir: settings.state.dir, clock, onProblem });
  const approvals = new ApprovalDesk({ clock, newId, rulings, waiting, draining: () => state.draining });
  approvals.subscribe((event) => {
    if (event.kind === 'ended') metrics.approval(event.group, event.how);
  });
  // Of several workers the supervising process counts: two of them may hold the same call.
  if (options.worker === undefined) metrics.approvalsPending(() => approvals.pending());
  return { approvals, rulings };
}

type DialNeeds = { clock: Clock; metrics: Metrics; state: Parts['state']; places: Places };

function createDialParts(options: ProxyOptions, { clock, metrics, state, places }: DialNeeds) {
  const { settings } = options;
  const resolver = createResolver({
    servers: settings.dns.servers.map(({ host, port }) =>
      host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`,
    ),
    hosts: Object.fromEntries(settings.dns.hosts),
    clock,
    places,
    onLookup: (outcome) => metrics.dnsLookup(outcome),
  });
  const roots = loadRoots({ extraCa: settings.tls.extraCa });
  const own = createOwnAddresses({
    clock,
    listeners: () =>
      [...state.listeners, ...state.others, ...state.peers].map(({ host, port }) => ({
        address: host,
        port,
      })),
  });
  const parent =
    settings.parentProxy === null
      ? null
      : createParent({
          url: settings.parentProxy,
          ca: roots.ca,
          onProblem: (message) => options.log.warn(message),
        });
  const dialer = createDialer({
    resolver,
    own,
    tls: { ca: roots.ca },
    through: parent?.connect,
    onConnect: (outcome) => metrics.upstreamConnection(outcome),
  });
  return { resolver, roots, dialer, parent, pool: createPool({ dialer, clock }) };
}

type KeyNeeds = { clock: Clock; metrics: Metrics; ca: readonly string[] };

function createKeyParts(options: ProxyOptions, { clock, metrics, ca }: KeyNeeds) {
  const { settings, env, placeholderKey, log } = options;
  const onFetch = (source: string, outcome: 'ok' | 'error'): void => metrics.secretFetch(source, outcome);
  const onProblem = (message: string): void => log.warn(`keys: ${message}`);
  const where = { dir: settings.state.dir, env, base: settings.root };
  const keyring = createKeyring({
    sources: openSources({ ...where, clock, ca, parentProxy: settings.parentProxy, onFetch, onProblem }),
    clock,
    onFetch,
    onProblem,
    remembered: openRemembered({
      file: path.join(settings.state.dir, REMEMBERED_FILE),
      installationKey: placeholderKey,
      onProblem,
    }),
  });
  metrics.secretAges(() => keyring.ages());
  const shapesFile = path.join(settings.state.dir, 'shapes.json');
  const epochs = openEpochs(path.join(settings.state.dir, EPOCHS_FILE));
  return { keyring, bindings: createBindings({ keyring, placeholderKey, shapesFile, epochs }) };
}
