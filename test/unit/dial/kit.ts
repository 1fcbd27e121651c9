/** What the tests of dial/ share: permits, a clock that stands still, upstreams, certificates. */
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import type { Server } from 'node:net';
import { Worker } from 'node:worker_threads';
import forge from 'node-forge';
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

/**
 * A listening socket whose queue is full: further connects hang, as towards a black hole. The worker's
 * event loop stands still, so nothing is ever accepted.
 */
export async function blackHole(address = '127.0.0.1'): Promise<{ port: number; close(): Promise<void> }> {
  const worker = new Worker(
    `const { parentPort, workerData } = require('node:worker_threads');
     const net = require('node:net');
     const server = net.createServer();
     server.listen({ port: 0, host: workerData, backlog: 1 }, () => {
       parentPort.postMessage(server.address().port);
       setImmediate(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0));
     });`,
    { eval: true, workerData: address },
  );
  const [port]: [number] = await new Promise((resolve) =>
    worker.once('message', (at: number) => resolve([at])),
  );
  const fillers = await fillQueue(address, port);
  return {
    port,
    async close() {
      for (const filler of fillers) filler.destroy();
      await worker.terminate();
    },
  };
}

async function fillQueue(address: string, port: number) {
  const { connect } = await import('node:net');
  const fillers = [];
  for (;;) {
    const filler = connect({ host: address, port });
    filler.on('error', () => filler.destroy());
    fillers.push(filler);
    const connected = await Promise.race([
      once(filler, 'connect').then(() => true),
      new Promise<boolean>((resolve) => {
        setTimeout(() => resolve(false), 150);
      }),
    ]);
    if (!connected) return fillers;
    if (fillers.length > 16) throw new Error('the queue does not fill');
  }
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
