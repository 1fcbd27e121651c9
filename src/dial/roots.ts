/**
 * The certificate authorities that upstreams are verified against: the system's, or where it has none
 * (a bare container image) the ones that Node brings, and the operator's `tls.extra_ca` files. Read
 * once at start by `proxy.ts`; also the text of `/bundle.pem`.
 */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { getCACertificates } from 'node:tls';

export type Roots = {
  /** PEM texts, one certificate each, for `createDialer` */
  readonly ca: readonly string[];
  /** where the public roots came from, for the log line at start */
  readonly source: 'system' | 'file' | 'bundled';
  /** the public roots and then `more` (our own CA) as one PEM file; extra_ca is not part of it */
  bundlePem(more: readonly string[]): string;
};

const BUNDLE_FILE = '/etc/ssl/certs/ca-certificates.crt';
const PEM = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+?-----END CERTIFICATE-----/g;

/**
 * Loads all roots. Throws with code `ERR_EXTRA_CA` when an extra file is unreadable, holds no
 * certificate or a broken one: better no start than a proxy that trusts less than its operator thinks.
 */
export function loadRoots(opts: {
  readonly extraCa: readonly string[];
  /** for tests: stands in for the system */
  readonly system?: () => readonly string[];
  readonly bundleFile?: string;
}): Roots {
  const found = publicRoots(opts.system ?? systemRoots, opts.bundleFile ?? BUNDLE_FILE);
  const extra = opts.extraCa.flatMap(readExtra);
  return {
    ca: [...new Set([...found.ca, ...extra])],
    source: found.source,
    bundlePem: (more) => [...found.ca, ...more].map((pem) => `${pem.trim()}\n`).join(''),
  };
}

function publicRoots(system: () => readonly string[], file: string): Pick<Roots, 'ca' | 'source'> {
  const own = unique(system());
  if (own.length > 0) return { ca: own, source: 'system' };
  const fromFile = unique(readBlocks(file) ?? []);
  if (fromFile.length > 0) return { ca: fromFile, source: 'file' };
  return { ca: unique(getCACertificates('bundled')), source: 'bundled' };
}

function systemRoots(): readonly string[] {
  try {
    return getCACertificates('system');
  } catch {
    // A store that cannot be read is the same as none: the next source is tried.
    return [];
  }
}

function readBlocks(file: string): readonly string[] | null {
  try {
    return readFileSync(file, 'utf8').match(PEM) ?? [];
  } catch {
    // Missing or unreadable: the caller decides whether that matters.
    return null;
  }
}

function readExtra(file: string): readonly string[] {
  const blocks = readBlocks(file);
  if (blocks === null) throw badExtra(file, 'cannot be read');
  if (blocks.length === 0) throw badExtra(file, 'holds no certificate');
  for (const block of blocks) {
    try {
      new X509Certificate(block);
    } catch (cause) {
      throw badExtra(file, 'holds a certificate that cannot be read', cause);
    }
  }
  return blocks;
}

function badExtra(file: string, what: string, cause?: unknown): Error {
  return Object.assign(new Error(`tls.extra_ca: ${file} ${what}`, { cause }), { code: 'ERR_EXTRA_CA' });
}

function unique(pems: readonly string[]): readonly string[] {
  return [...new Set(pems.map((pem) => pem.trim()))];
}
