/**
 * One request to switch to WebSocket: what `exchange.ts` needs to know of it, from the offer in the head to the
 * relay after the 101. Everything else of such a request (verdict, keys in the head, record, upstream, refusals) is
 * the exchange's, so no transport skips a rule. Other upgrades are refused (contract 11, threat 1.7).
 */
import { createHash } from 'node:crypto';
import { type Denied, denied } from '../flow/reason.ts';
import { BytesSearch } from '../secrets/bytes-search.ts';
import { holdsLeak } from '../secrets/hidden.ts';
import type { HostKeys } from '../secrets/host-keys.ts';
import { substituteMessage } from '../secrets/substitute.ts';
import { DEFLATE, type DeflateTerms, readDeflate } from '../wire/deflate-terms.ts';
import type { ResponseHead } from '../wire/http1-parse.ts';
import { type RequestRebuild, rebuildRequestHead } from '../wire/http1-write.ts';
import { type Offer, parseAgreement, parseOffer, withExtensions } from '../wire/websocket-handshake.ts';
import type { ExchangeDeps, ExchangeJob } from './exchange-job.ts';
import { MessageRewriter } from './message-rewriter.ts';
import { MessageScrubber } from './message-scrubber.ts';
import { type RelayAsk, UpgradeRelay } from './upgrade-relay.ts';

/** RFC 6455 section 1.3. */
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

export class Upgrade {
  readonly #deps: ExchangeDeps;
  readonly #job: ExchangeJob;
  readonly #offer: Offer | Denied;
  /** messages of the client may hold placeholders */
  #looksInside = false;
  /** keys that must not come back; null: none is bound to the host */
  #keys: HostKeys | null = null;
  #deflate: DeflateTerms | null = null;
  #relay: UpgradeRelay | null = null;

  constructor(deps: ExchangeDeps, job: ExchangeJob) {
    this.#deps = deps;
    this.#job = job;
    this.#offer = parseOffer(job.head);
  }

  /** Why this is no handshake that may be sent. */
  get problem(): Denied | null {
    return 'kind' in this.#offer ? this.#offer : null;
  }

  get bytesUp(): number {
    return this.#relay?.bytesUp ?? 0;
  }

  get bytesDown(): number {
    return this.#relay?.bytesDown ?? 0;
  }

  /** Last byte either way after the 101, monotonic milliseconds; 0 before. */
  get activeAt(): number {
    return this.#relay?.activeAt ?? 0;
  }

  /** The handshake as the upstream gets it, before keys are put in. */
  rebuild(to: RequestRebuild): string {
    const { identity, target, head } = this.#job;
    const offer = this.#offer;
    if ('kind' in offer) throw new Error('a malformed handshake is not sent');
    this.#looksInside = this.#deps
      .bindings(identity)
      .bindings.some(({ allows, spec }) => allows(target) && spec.places.some(isMessage));
    this.#keys = this.#deps.hostKeys.at(this.#deps.bindings(identity), target);
    const upgrade = 'websocket';
    if (this.#keys === null) return rebuildRequestHead(head, { ...to, upgrade });
    // An extension that we do not know could hide what a message says.
    const drop = (name: string): boolean => name === 'sec-websocket-extensions';
    // Messages that are not compressed can be searched as they come, of any length.
    const known = this.#looksInside ? offer.extensions.filter(({ name }) => name === DEFLATE) : [];
    return withExtensions(rebuildRequestHead(head, { ...to, upgrade, drop }), known);
  }

  /** Judges the 101 of the upstream. */
  agree(head: ResponseHead): Denied | null {
    const offer = this.#offer;
    if ('kind' in offer) return offer;
    const accept = createHash('sha1').update(`${offer.key}${GUID}`).digest('base64');
    const agreed = parseAgreement(head, offer, accept);
    if ('kind' in agreed) return agreed;
    if (this.#keys === null) return null;
    const deflate = readDeflate(agreed);
    if (deflate === 'bad' || (deflate !== null && !this.#looksInside))
      return denied('upstream_bad_response', '101 with an extension that nobody asked for');
    this.#deflate = deflate;
    return null;
  }

  /**
   * Takes both sides over; the 101 has been written. `early`: what the upstream sent behind it.
   */
  start(from: Pick<RelayAsk, 'conn' | 'use' | 'cut' | 'end'> & { readonly early: Buffer }): void {
    const { side, client, takeOver } = this.#job;
    const { conn, early, use, cut, end } = from;
    const rewriter = this.#looksInside ? (fail: (why: Denied) => void) => this.#rewriter(fail) : null;
    const keys = this.#keys;
    const scrubber = keys === null ? null : (fail: (why: Denied) => void) => this.#scrubber(keys, fail);
    const { clock, rotation, onError } = this.#deps;
    const relay = new UpgradeRelay({
      side,
      client,
      conn,
      use,
      clock,
      rotation,
      rewriter,
      scrubber,
      onError,
      cut,
      end,
    });
    this.#relay = relay;
    conn.user = relay;
    if (early.length > 0) relay.onData(early);
    const { rest, ended } = takeOver(relay);
    if (rest.length > 0) relay.feed(rest);
    if (ended) relay.finish();
  }

  /** The client takes more again. False: the upstream is still to wait. */
  drained(): boolean {
    return this.#relay?.drained() !== false;
  }

  stop(): void {
    this.#relay?.stop();
  }

  #rewriter(fail: (why: Denied) => void): MessageRewriter {
    const { identity, target, secure, record } = this.#job;
    const { bindings, held } = this.#deps;
    return new MessageRewriter({
      deflate: this.#deflate,
      // Asked for each time: the policy may have taken a key away since the handshake.
      substitute: (text) => substituteMessage({ text, bindings: bindings(identity), at: target, secure }),
      search: () => new BytesSearch({ bindings: bindings(identity), at: target, secure }),
      leaks: (text) => holdsLeak(text, bindings(identity).leaks),
      used: (names) => {
        record.keys = [...new Set([...record.keys, ...names])];
      },
      take: (bytes) => held.take(identity.group, bytes),
      give: (bytes) => held.give(identity.group, bytes),
      fail,
    });
  }

  #scrubber(keys: HostKeys, fail: (why: Denied) => void): MessageScrubber {
    const { identity, record } = this.#job;
    const { held } = this.#deps;
    return new MessageScrubber({
      deflate: this.#deflate,
      patterns: () => keys.scrubSet(),
      found: (env) => record.tookOut(env),
      take: (bytes) => held.take(identity.group, bytes),
      give: (bytes) => held.give(identity.group, bytes),
      fail,
    });
  }
}

function isMessage(place: { readonly kind: string }): boolean {
  return place.kind === 'websocket';
}
