/**
 * `mint:NAME`: keys that an authority makes for a while, for who can prove itself with another key: OAuth client
 * credentials and GitHub App installations. They are asked for by the proxy itself and replaced before they end; what is
 * asked and answered never comes near a sandbox. What a name means is learned from the policies.
 */
import { createHash, randomInt } from 'node:crypto';
import type { MintSpec, SourceRef } from '../policy/model.ts';
import type { SecretValue } from '../secrets/value.ts';
import { type CachedOptions, createCachedSource, type SourceEvents } from './cached.ts';
import { createHttps, type HttpsOptions } from './https.ts';
import { askClientToken } from './mint-client.ts';
import { askInstallationToken } from './mint-github.ts';
import type { Minted, MintRequest } from './mint-request.ts';
import { type SecretSource, SecretSourceError } from './source.ts';
import type { Fetched } from './unit.ts';

type MintOptions = SourceEvents &
  HttpsOptions & {
    /** the credential, from another source; throws SecretSourceError */
    readonly read: (ref: SourceRef) => Promise<SecretValue>;
  };

/** What a 401 asks for: authorities count what they make. */
const SOON_MS = 60_000;
/** Replaced so long before its end at the latest, or after four fifths of a shorter life. */
const MARGIN_MS = 300_000;
/** Asked no more often, though some authorities give one token to its very end. */
const MIN_FRESH_MS = 5_000;
/** Days that are asked for anew whatever the authority says. */
const MAX_FRESH_MS = 86_400_000;
const VISIBLE = /^[\x21-\x7e]+$/;

export function createMintSource(opts: MintOptions): SecretSource {
  const https = createHttps(opts);
  const units = new Map<string, string>();
  const specs = new Map<string, MintSpec>();
  const fetch: CachedOptions['fetch'] = async (unit, signal) => {
    const spec = specs.get(unit);
    if (spec === undefined) throw new SecretSourceError('not_found', 'no policy says how it is asked for');
    const credential = await opts.read(spec.credential);
    try {
      return keep(await ask(spec, { credential, https, signal, clock: opts.clock }));
    } finally {
      credential.zero();
    }
  };
  const source = createCachedSource({
    ...opts,
    limits: { soonMs: SOON_MS, ...opts.limits },
    kind: 'mint',
    // A block that was changed is another unit: what the old one gave must not be used for it.
    split: (name) => ({ unit: units.get(name) ?? name, field: '' }),
    shown: (unit) => unit.replace(/ .*/, ''),
    fetch,
    close: () => https.close(),
  });
  return {
    ...source,
    learn: (refs) => {
      units.clear();
      specs.clear();
      for (const { name, mint } of refs) {
        if (mint === undefined) continue;
        const digest = createHash('sha256').update(JSON.stringify(mint)).digest('hex');
        units.set(name, `${name} ${digest}`);
        specs.set(`${name} ${digest}`, mint);
      }
    },
  };
}

function ask(spec: MintSpec, request: MintRequest): Promise<Minted> {
  return spec.kind === 'github_app' ? askInstallationToken(spec, request) : askClientToken(spec, request);
}

function keep({ token, lifetimeMs }: Minted): Fetched {
  if (token === '') throw new SecretSourceError('empty', 'the token is empty');
  if (!VISIBLE.test(token)) throw new SecretSourceError('damaged', 'the token holds what a header cannot');
  const values = new Map([['', Buffer.from(token, 'latin1')]]);
  if (lifetimeMs === null) return { values };
  if (!(lifetimeMs > 0)) {
    throw new SecretSourceError('unreadable', 'the token has ended already (is the clock right?)');
  }
  const margin = Math.min(MARGIN_MS, lifetimeMs / 5);
  // Tokens made at one start would else be replaced at one moment, by every worker.
  const jitter = randomInt(Math.max(1, Math.floor(margin / 2)));
  const freshMs = Math.min(MAX_FRESH_MS, Math.max(MIN_FRESH_MS, lifetimeMs - margin - jitter));
  return { values, freshMs, validMs: lifetimeMs };
}
