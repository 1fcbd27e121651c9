/**
 * The stages, wired together over the parts of `proxy.ts`: what the listener needs to serve a connection. No decision
 * is taken here. `lifecycle.ts` calls it once.
 */
import { serveHttp } from './accept/http.ts';
import { createListener } from './accept/listener.ts';
import { answerSelf } from './accept/self.ts';
import { serveSocks } from './accept/socks.ts';
import type { TransparentDeps } from './accept/transparent.ts';
import { FlowRecord } from './audit/flow-record.ts';
import { FlowWords } from './audit/flow-words.ts';
import { HeldBytes } from './base/held-bytes.ts';
import type { ClientLink } from './base/link.ts';
import { Rotation } from './base/rotation.ts';
import { createSparing } from './base/sparing.ts';
import type { Carry, RefuseInside } from './base/stages.ts';
import { type Identity, NO_CREDENTIAL } from './flow/identity.ts';
import type { Via } from './flow/target.ts';
import type { Treat } from './flow/verdict.ts';
import { parseProxyAuthorization, parseSocksPassword } from './identify/credential.ts';
import { createLeafMint } from './intercept/leaf.ts';
import { mintOf } from './intercept/live-authority.ts';
import { createInsideRefuser } from './intercept/refuse-inside.ts';
import { HttpSession } from './intercept/session.ts';
import type { SessionAsk, SessionDeps } from './intercept/session-job.ts';
import { createPlainCarrier, createTerminator } from './intercept/terminate.ts';
import type { Parts } from './proxy.ts';
import { holdsLeak } from './secrets/hidden.ts';
import { HostKeyIndex } from './secrets/host-keys.ts';
import { createTunnel } from './tunnel/tunnel.ts';

export type Front = {
  /** the proxy port's server, not listening yet */
  readonly listener: ReturnType<typeof createListener>;
  /** what the listeners for clients without a proxy need */
  readonly transparent: TransparentDeps;
};

/** The stages, wired: what listeners need to serve a connection. */
export function createFront(parts: Parts): Front {
  const { gate, clock, trail, newId, live, snapshots, dialer, options } = parts;
  const session = sessionDeps(parts);
  const refuseInside = insideRefuser(parts);
  const carry = carriers(parts, session, refuseInside);
  const connect = {
    gate,
    limits: parts.limits,
    vet: dialer.vet,
    vetNow: dialer.vetNow,
    carry,
    early: parts.early,
    refuseInside,
    stillValid: session.stillValid,
    snapshotId: session.snapshotId,
    onError: session.onError,
  };
  const { holdsKey } = session;
  const newRecord = ({ flow, client, via }: { flow: string; client: string; via: Via | null }) =>
    new FlowRecord({ trail, clock, holdsKey, stage: 'connect', flow, requestId: flow, client, via });
  const describe = describer(parts);
  const { log } = options;
  const trusted = trustedBy(parts);
  const ways = {
    ...connect,
    snapshot: snapshots.current,
    draining: session.draining,
    identify: parts.identifier.identify,
    describe,
    // Names and first bytes of every connection, in which nobody undoes escapes. Records look more closely.
    holdsKey: (text: string) => parts.keyring.leaks().found(text),
    newRecord,
  };
  const socks = { ...ways, clock, credentialOfPassword: parseSocksPassword };
  const http = {
    ...ways,
    openSession: (ask: Omit<SessionAsk, 'words'>) =>
      new HttpSession(session, { ...ask, words: new FlowWords() }),
    credentialOf: parseProxyAuthorization,
    answerSelf: (ask: Parameters<Parameters<typeof serveHttp>[0]['answerSelf']>[0]) => {
      const bindings = 'kind' in ask.identity ? [] : session.bindings(ask.identity).bindings;
      return answerSelf({ ...ask, bindings, ...trusted() });
    },
  };
  const accepting = {
    live,
    maxLinks: parts.maxLinks,
    scratch: parts.scratch,
    clock,
    newId,
    draining: session.draining,
    onError: session.onError,
    faultRecord: (link: ClientLink, flow: string) => {
      const client = link.address;
      const record = newRecord({ flow, client, via: null });
      describe(client, record);
      return record;
    },
  };
  const listener = createListener({
    ...accepting,
    http: (link, flow, first) => serveHttp(http, link, flow, first),
    socks: (link, flow, first) => serveSocks(socks, link, flow, first),
  });
  listener.on('error', (error) => log.error({ error: error.message }, 'listener'));
  return { listener, transparent: { ...ways, ...accepting, openSession: http.openSession } };
}

/** Fills in what the source address tells of a client. */
function describer({ snapshots, identifier }: Parts) {
  return (client: string, record: FlowRecord): void => {
    const snapshot = snapshots.current();
    if (snapshot === null) return;
    record.policy = snapshot.set.hash;
    const known = identifier.identify({ address: client, credential: NO_CREDENTIAL }, snapshot);
    if (!('kind' in known)) record.identity = known;
  };
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
    limits: parts.limits,
    approvals: parts.approvals,
    ahead: parts.ahead,
    pool: parts.pool,
    vet: dialer.vet,
    live: parts.live,
    clock: parts.clock,
    trail: parts.trail,
    newId: parts.newId,
    holdsKey: (text) => holdsLeak(text, parts.keyring.leaks()),
    onError: (error) => {
      const shown = error instanceof Error ? error.stack : String(error);
      parts.options.log.error({ error: shown }, 'a connection failed on an exception');
    },
    bindings: bindingsOf,
    stillValid: parts.stillValid,
    snapshotId: () => snapshots.current()?.id ?? '',
    policyHash: () => snapshots.current()?.set.hash ?? '',
    draining: () => state.draining,
    traced: parts.options.telemetry?.traced === true,
    held: new HeldBytes(),
    streams: parts.streams,
    hostKeys: new HostKeyIndex(),
    rotation: new Rotation(parts.clock),
  };
}

/** What sandboxes are told to trust; the bundle is some hundred kilobytes, and made once for each set of CAs. */
function trustedBy({ authority, roots }: Parts): () => { caPem: string; bundlePem: string } {
  let made = { caPem: '', bundlePem: '' };
  return () => {
    const caPem = authority.current().publishedPem;
    if (caPem !== made.caPem) made = { caPem, bundlePem: roots.bundlePem([caPem]) };
    return made;
  };
}

/** Leaves of refused hosts kept: few, because none is asked for again. */
const REFUSED_LEAVES = 64;

function insideRefuser({ authority: live, clock, metrics, snapshots }: Parts): RefuseInside {
  const onMint = (): void => metrics.leafCertificate();
  const mint = mintOf(live, (authority) => createLeafMint({ authority, clock, max: REFUSED_LEAVES, onMint }));
  return createInsideRefuser({
    clock,
    wanted: (group) => snapshots.current()?.set.groups.get(group)?.refuse === 'inside',
    contextFor: mint.contextFor,
  });
}

function carriers(
  parts: Parts,
  session: SessionDeps,
  refuseInside: RefuseInside,
): Readonly<Record<Treat, Carry>> {
  const { clock, live, limits, scratch, early, dialer, metrics, options } = parts;
  const onMint = (): void => metrics.leafCertificate();
  const untrusting = createSparing(clock);
  const mint = mintOf(parts.authority, (authority) => createLeafMint({ authority, clock, onMint }));
  return {
    tunnel: createTunnel({
      clock,
      live,
      limits,
      scratch,
      early,
      refuseInside,
      open: dialer.open,
      onError: session.onError,
    }),
    intercept: createTerminator({
      ...session,
      contextFor: mint.contextFor,
      onHandshakeError: (host, error) =>
        untrusting((more) =>
          options.log.warn(
            { host, error: error.message, ...(more === 0 ? {} : { more }) },
            'TLS with the client failed; does the sandbox trust our CA?',
          ),
        ),
    }),
    plain: createPlainCarrier(session),
  };
}
