/**
 * Judges the addresses of a target: one test for literals and names alike (I2), and every address or none. What it
 * lets through is dialled with that very permit alone. Made by `connect.ts`.
 */
import type { Vet, VetNow, Vetted } from '../base/upstream.ts';
import type { Permit } from '../flow/permit.ts';
import { type Denied, denied } from '../flow/reason.ts';
import { judgeAddress, type OwnAddresses } from '../policy/address-guard.ts';
import type { Answers, Resolver } from './resolve.ts';

export type Vetting = {
  /** The judged addresses, or `dns_failed`, `dns_timeout`, `overloaded`, `address_not_allowed`. Connects nothing. */
  readonly vet: Vet;
  /** The same at once for literals and for names whose answer is at hand; null: it has to be asked for. */
  readonly vetNow: VetNow;
};

export function createVetting(opts: { resolver: Resolver; own: () => OwnAddresses }): Vetting {
  const { resolver } = opts;
  const judgements = new Judgements(opts.own);
  return {
    async vet(permit, signal) {
      const { target } = permit;
      if (target.kind !== 'name') return judge(permit, [target.host], judgements);
      const found: Answers | Denied = await resolver.resolve(target.host, signal, permit.identity.group);
      return found.kind === 'deny' ? found : judge(permit, found.addresses, judgements);
    },
    vetNow(permit) {
      const { target } = permit;
      const known = target.kind === 'name' ? resolver.peek(target.host) : [target.host];
      return known === null ? null : judge(permit, known, judgements);
    },
  };
}

/** What may be dialled with `permit`. Throws on addresses that were judged for another one, or by nobody. */
export function addressesOf(vetted: Vetted, permit: Permit): readonly string[] {
  if (vetted instanceof Judged && vetted.permit === permit) return vetted.addresses;
  throw new Error('these addresses were not judged for this permit');
}

/** Addresses that may be dialled with one permit. */
class Judged implements Vetted {
  readonly permit: Permit;
  readonly addresses: readonly string[];

  constructor(permit: Permit, addresses: readonly string[]) {
    this.permit = permit;
    this.addresses = addresses;
  }
}

/** Every address or none: one bad answer refuses the name. The refusal does not say which (contract 5). */
function judge(permit: Permit, addresses: readonly string[], judgements: Judgements): Judged | Denied {
  const allowed = permit.verdict.addresses;
  const { host, port } = permit.target;
  const good = (address: string): boolean => judgements.of({ address, port, allowed }) === 'ok';
  if (addresses.length > 0 && addresses.every(good)) return new Judged(permit, [...addresses]);
  const detail = `${host} leads to an address that may not be reached from here.`;
  return denied('address_not_allowed', detail, permit.verdict.rule);
}

/** Verdicts remembered for as long as the proxy's own addresses are the same; beyond the cap they start anew. */
const MAX_JUDGEMENTS = 4_096;

type ByPort = Map<number, 'ok' | 'blocked'>;
type ByAddress = Map<string, ByPort>;

/** Judging one address costs as much as parsing a request, and a sandbox dials the same few again and again. */
class Judgements {
  readonly #own: () => OwnAddresses;
  #ownThen: OwnAddresses | null = null;
  #byRanges = new Map<readonly string[], ByAddress>();
  #count = 0;

  constructor(own: () => OwnAddresses) {
    this.#own = own;
  }

  of(ask: { address: string; port: number; allowed: readonly string[] }): 'ok' | 'blocked' {
    const own = this.#own();
    if (own !== this.#ownThen || this.#count >= MAX_JUDGEMENTS) {
      this.#byRanges = new Map();
      this.#ownThen = own;
      this.#count = 0;
    }
    const before = this.#byRanges.get(ask.allowed)?.get(ask.address)?.get(ask.port);
    if (before !== undefined) return before;
    const verdict = judgeAddress({ ...ask, own });
    const addresses: ByAddress = this.#byRanges.get(ask.allowed) ?? new Map();
    const ports: ByPort = addresses.get(ask.address) ?? new Map();
    this.#byRanges.set(ask.allowed, addresses.set(ask.address, ports.set(ask.port, verdict)));
    this.#count += 1;
    return verdict;
  }
}
