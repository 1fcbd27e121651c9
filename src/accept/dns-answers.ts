/**
 * What the sandboxes' name server answers: names that some rule of the asker's group could allow are at our own address,
 * where the transparent listeners wait; no other name exists. Nothing is ever asked of another server, so a name tells nobody
 * anything (the channel that DNS usually is). A refused name is recorded, the same one at most every ten seconds. `dns.ts`
 * has the sockets.
 */
import { LRUCache } from 'lru-cache';
import type { FlowRecord } from '../audit/flow-record.ts';
import type { Clock } from '../base/clock.ts';
import type { Snapshot } from '../config/snapshot.ts';
import { type Credential, type Identity, NO_CREDENTIAL } from '../flow/identity.ts';
import { type Denied, isDenied, REASONS } from '../flow/reason.ts';
import type { Authority, Via } from '../flow/target.ts';
import type { Verdict } from '../flow/verdict.ts';
import { parseAuthority } from '../wire/authority.ts';
import {
  type DnsAnswer,
  type DnsQuestion,
  encodeAnswer,
  encodeProblem,
  readQuestion,
} from './dns-message.ts';

export type DnsOutcome = 'address' | 'nodata' | 'nxdomain' | 'refused' | 'malformed' | 'dropped';

export type DnsDeps = {
  readonly clock: Clock;
  readonly newId: () => string;
  readonly snapshot: () => Snapshot | null;
  readonly identify: (
    ask: { address: string; credential: Credential },
    snapshot: Snapshot,
  ) => Identity | Denied;
  /** may the group know the name (`policy/names.ts`) */
  readonly decideName: (snapshot: Snapshot, group: string, name: Authority) => Verdict;
  /** does a text hold a real key, current or revoked */
  readonly holdsKey: (text: string) => boolean;
  readonly newRecord: (ask: { flow: string; client: string; via: Via }) => FlowRecord;
  readonly onAnswer: (outcome: DnsOutcome) => void;
  readonly onError: (error: unknown) => void;
  /** what allowed names are answered with, IPv4 or IPv6 */
  readonly address: string;
};

/** Of one address, each second: what is beyond is not answered, so that no sandbox can keep the others waiting. */
const MAX_PER_SECOND = 500;
const RECORD_EVERY_MS = 10_000;
const MAX_REMEMBERED = 10_000;
const DNS_PORT = 53;

export class Answers {
  readonly #deps: DnsDeps;
  /** group and name of refusals that were recorded a moment ago */
  readonly #recorded = new LRUCache<string, number>({ max: MAX_REMEMBERED });
  /** questions of each address in the second under way */
  readonly #asked = new LRUCache<string, number>({ max: MAX_REMEMBERED });
  #second = 0;

  constructor(deps: DnsDeps) {
    this.#deps = deps;
  }

  /** The bytes to send back; null: none. Never throws. */
  to(bytes: Buffer, client: string): Buffer | null {
    try {
      if (this.#tooMany(client)) {
        this.#deps.onAnswer('dropped');
        return null;
      }
      const asked = readQuestion(bytes);
      if (asked === null || 'rcode' in asked) {
        this.#deps.onAnswer('malformed');
        return asked === null ? null : encodeProblem(asked);
      }
      const answer = this.#judge(asked, client);
      this.#deps.onAnswer(typeof answer === 'string' ? answer : 'address');
      return encodeAnswer(asked, answer);
    } catch (error) {
      this.#deps.onError(error);
      return null;
    }
  }

  #tooMany(client: string): boolean {
    const second = Math.floor(this.#deps.clock.mono() / 1_000);
    if (second !== this.#second) this.#asked.clear();
    this.#second = second;
    const count = (this.#asked.get(client) ?? 0) + 1;
    this.#asked.set(client, count);
    return count > MAX_PER_SECOND;
  }

  #judge(asked: DnsQuestion, client: string): DnsAnswer {
    const { snapshot, identify, decideName, holdsKey, address } = this.#deps;
    const current = snapshot();
    if (current === null) return 'refused';
    const identity = identify({ address: client, credential: NO_CREDENTIAL }, current);
    if (isDenied(identity)) return 'refused';
    const at = authorityOf(asked.name);
    // A name that policy could not even be asked about is nobody's; a key in it is told to nobody.
    if (at === null || holdsKey(asked.name.toLowerCase()) || holdsKey(asked.name)) return 'nxdomain';
    const verdict = decideName(current, identity.group, at);
    if (verdict.kind === 'deny') {
      this.#record(client, { identity, at, why: verdict, policy: current.set.hash });
      // A name that is not told for now must not be remembered as one that does not exist.
      return verdict.reason === 'locked_down' ? 'refused' : 'nxdomain';
    }
    const wanted = address.includes(':') ? 'AAAA' : 'A';
    return asked.type === wanted ? { address } : 'nodata';
  }

  #record(client: string, of: { identity: Identity; at: Authority; why: Denied; policy: string }): void {
    const { clock, newId, newRecord } = this.#deps;
    const key = `${of.identity.id} ${of.at.host}`;
    const now = clock.mono();
    const before = this.#recorded.get(key);
    if (before !== undefined && now - before < RECORD_EVERY_MS) return;
    this.#recorded.set(key, now);
    const record = newRecord({ flow: newId(), client, via: 'transparent-dns' });
    record.identity = of.identity;
    record.at = of.at;
    record.policy = of.policy;
    record.deny(of.why);
    const { status } = REASONS[of.why.reason];
    record.end({ status, ended: 'refused', reason: of.why.reason });
  }
}

/** The name as policies know it, at the port of name servers; null: no name that anything could allow. */
function authorityOf(name: string): Authority | null {
  const plain = name.endsWith('.') ? name.slice(0, -1) : name;
  const at = parseAuthority(`${plain}:${DNS_PORT}`);
  return isDenied(at) || at.kind !== 'name' ? null : at;
}
