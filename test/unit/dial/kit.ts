/** What the tests of dial/ share: permits, a clock that stands still, pools, certificates. */
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import type { Server } from 'node:net';
import forge from 'node-forge';
import { createDialer } from '../../../src/dial/connect.ts';
import { createPool, type PoolLimits } from '../../../src/dial/pool.ts';
import { createResolver } from '../../../src/dial/resolve.ts';
import type { Permit } from '../../../src/flow/permit.ts';
import type { Host } from '../../../src/flow/target.ts';
import { isAuthority, parseAuthority } from '../../../src/wire/authority.ts';

const LOOPBACK = ['127.0.0.0/8', '::1/128'];

export function host(name: string): Host {
  const at = parseAuthority(name.includes(':') ? `[${name}]` : name, 443);
  if (!isAuthority(at)) throw new Error(`not a host: ${name}`);
  return at.host;
}

export type PermitAsk = {
  readonly host: string;
  readonly port: number;
  readonly group?: string;
  readonly identity?: string;
  readonly addresses?: readonly string[];
  readonly snapshotId?: string;
};

/** Only the gate makes permits; tests of what comes after it cast one. */
export function permitFor(ask: PermitAsk): Permit {
  const at = parseAuthority(ask.host.includes(':') ? `[${ask.host}]` : ask.host, ask.port);
  if (!isAuthority(at)) throw new Error(`not a host: ${ask.host}`);
  return {
    flow: 'flow-1',
    identity: { id: ask.identity ?? 'tok_a', group: ask.group ?? 'agents', proof: 'token' },
    target: { ...at, via: 'connect' },
    verdict: {
      kind: 'allow',
      rule: { file: 'policies/agents.yaml', line: 3, text: `allow ${ask.host}` },
      treat: 'tunnel',
      addresses: ask.addresses ?? LOOPBACK,
      protocol: 'tls',
      idleMs: 60_000,
      judgesRequests: false,
    },
    snapshotId: ask.snapshotId ?? 's1',
  } as Permit;
}

export function stillClock() {
  let at = 1_000_000;
  return {
    now: () => at,
    mono: () => at,
    tick: (ms: number) => {
      at += ms;
    },
  };
}

export function portOf(server: Server): number {
  const at = server.address();
  if (at === null || typeof at === 'string') throw new Error('not listening');
  return at.port;
}

export async function listening<T extends Server>(server: T, address = '127.0.0.1', port = 0): Promise<T> {
  server.listen(port, address);
  await once(server, 'listening');
  return server;
}

/** A pool whose one name is `api.test`, on loopback. `open` is told what is to be closed. */
export function testPool(ca: TestCa, limits: Partial<PoolLimits>, open: (() => unknown)[]) {
  const clock = stillClock();
  const resolver = createResolver({ servers: ['127.0.0.1:1'], hosts: { 'api.test': ['127.0.0.1'] }, clock });
  const dialer = createDialer({
    resolver,
    own: () => ({ addresses: [], local: [], listeners: [] }),
    tls: { ca: [ca.pem] },
  });
  const made = createPool({ dialer, clock, limits });
  open.push(
    () => made.close(),
    () => resolver.close(),
  );
  return { made, clock, stats: () => made.stats() };
}

export type Issued = { readonly cert: string; readonly key: string };
type CertAsk = {
  readonly names?: readonly string[];
  readonly ips?: readonly string[];
  readonly commonName?: string;
  /** days from now */
  readonly from?: number;
  readonly to?: number;
};
export type TestCa = { readonly pem: string; issue(ask: CertAsk): Issued; selfSigned(ask: CertAsk): Issued };

/** A certificate authority of the test's own; nothing is written to disk. */
export function createTestCa(name = 'Test root'): TestCa {
  const key = newKey();
  const root = certificate({
    ask: { commonName: 'Test root' },
    key,
    signer: key,
    issuer: name,
    ca: true,
  });
  return {
    pem: root,
    issue(ask) {
      const leaf = newKey();
      return {
        cert: certificate({ ask, key: leaf, signer: key, issuer: name, ca: false }),
        key: leaf,
      };
    },
    selfSigned(ask) {
      const leaf = newKey();
      const issuer = ask.commonName ?? 'leaf';
      return { cert: certificate({ ask, key: leaf, signer: leaf, issuer, ca: false }), key: leaf };
    },
  };
}

function newKey(): string {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return privateKey.export({ type: 'pkcs1', format: 'pem' }).toString();
}

let serial = 1;

function certificate(of: { ask: CertAsk; key: string; signer: string; issuer: string; ca: boolean }): string {
  const cert = forge.pki.createCertificate();
  const own = forge.pki.privateKeyFromPem(of.key);
  const day = 86_400_000;
  serial += 1;
  cert.publicKey = forge.pki.setRsaPublicKey(own.n, own.e);
  cert.serialNumber = `0${serial.toString(16)}`.slice(-2).padStart(4, '0');
  cert.validity.notBefore = new Date(Date.now() + (of.ask.from ?? -1) * day);
  cert.validity.notAfter = new Date(Date.now() + (of.ask.to ?? 30) * day);
  cert.setSubject([{ name: 'commonName', value: of.ask.commonName ?? 'leaf' }]);
  cert.setIssuer([{ name: 'commonName', value: of.issuer }]);
  const altNames = [
    ...(of.ask.names ?? []).map((value) => ({ type: 2, value })),
    ...(of.ask.ips ?? []).map((ip) => ({ type: 7, ip })),
  ];
  cert.setExtensions([
    { name: 'basicConstraints', cA: of.ca, critical: true },
    ...(of.ca ? [{ name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true }] : []),
    ...(altNames.length > 0 ? [{ name: 'subjectAltName', altNames }] : []),
  ]);
  cert.sign(forge.pki.privateKeyFromPem(of.signer), forge.md.sha256.create());
  return forge.pki.certificateToPem(cert);
}
