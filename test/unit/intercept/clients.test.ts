/** Leaves as strict clients see them: OpenSSL, Python 3.13, curl and Node, over files and over loopback TLS. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { connect, TLSSocket } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import type { Authority } from '../../../src/flow/target.ts';
import { type CertificateAuthority, loadOrCreateAuthority } from '../../../src/intercept/authority.ts';
import { createLeafMint, type LeafMint } from '../../../src/intercept/leaf.ts';
import { at, findStrictPython, folder, foreignCa, hasTool, longName, run } from './material.ts';

type Issuer = { dir: string; authority: CertificateAuthority; mint: LeafMint };

function issuer(prepare: (dir: string) => void = () => {}): Issuer {
  const dir = folder();
  prepare(dir);
  const { authority } = loadOrCreateAuthority({ dir, now: Date.now() + 1000 });
  return { dir, authority, mint: createLeafMint({ authority, clock: systemClock }) };
}

const ISSUERS: [string, (dir: string) => void][] = [
  ['our own CA', () => {}],
  ['an RSA CA', (dir) => foreignCa(dir, { newkey: ['rsa:2048'], extensions: STRICT_CA })],
  [
    'a P-384 CA',
    (dir) => foreignCa(dir, { newkey: ['ec', '-pkeyopt', 'ec_paramgen_curve:P-384'], extensions: STRICT_CA }),
  ],
  [
    'a CA whose key id is not a hash of its key',
    (dir) =>
      foreignCa(dir, {
        newkey: ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'],
        extensions: [...BASE_CA, 'subjectKeyIdentifier=01020304'],
      }),
  ],
  ['an intermediate with its chain', intermediate],
];

const HOSTS: [string, Authority][] = [
  ['an ordinary name', at('api.example.com')],
  ['a name too long for a CN', at(longName(65))],
  ['a name of 253 octets', at(longName(253))],
  ['an IPv4 address', at('127.0.0.1', 'ipv4')],
  ['an IPv6 address', at('::1', 'ipv6')],
];

const PYTHON = findStrictPython();

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

describe.each(ISSUERS)('a leaf of %s', (_name, prepare) => {
  const from = issuer(prepare);

  it.each(HOSTS)('passes `openssl verify -x509_strict` for %s', (_host, host) => {
    const root = rootFile(from);
    const leaf = join(from.dir, 'leaf.pem');
    writeFileSync(leaf, from.mint.pemFor(host));
    const named = host.kind === 'name' ? ['-verify_hostname', host.host] : ['-verify_ip', host.host];
    const purpose = ['-x509_strict', '-purpose', 'sslserver'];
    const checked = run('openssl', [
      'verify',
      ...purpose,
      ...named,
      '-CAfile',
      root,
      '-untrusted',
      leaf,
      leaf,
    ]);
    expect(checked.output.trim()).toBe(`${leaf}: OK`);
  });

  it.each(HOSTS)('is accepted by Node for %s', async (_host, host) => {
    const port = await serve(from, host);
    const socket = connect({
      host: '127.0.0.1',
      port,
      ca: trusted(from),
      ...(host.kind === 'name' ? { servername: host.host } : {}),
      checkServerIdentity: (_asked, cert) =>
        cert.subjectaltname?.includes('') ? undefined : new Error('no SAN'),
    });
    await once(socket, 'secureConnect');
    expect(socket.authorized).toBe(true);
    socket.destroy();
  });

  it.skipIf(PYTHON === undefined).each(HOSTS)(
    'is accepted by Python 3.13 with its strict flags for %s',
    async (_host, host) => {
      const port = await serve(from, host);
      const output = await call(PYTHON ?? '', ['-c', PYTHON_CLIENT, String(port), host.host, rootFile(from)]);
      expect(output).toBe('ok\n');
    },
  );

  it.skipIf(!hasTool('curl', ['--version'])).each(HOSTS)(
    'is accepted by curl for %s',
    async (_host, host) => {
      const port = await serve(from, host);
      const name = host.kind === 'ipv6' ? `[${host.host}]` : host.host;
      const output = await call('curl', [
        '-sS',
        '--noproxy',
        '*',
        '--max-time',
        '10',
        '--cacert',
        rootFile(from),
        '--connect-to',
        `::127.0.0.1:${port}`,
        `https://${name}/`,
      ]);
      expect(output).toBe('hello');
    },
  );
});

describe('a context for a host', () => {
  it('speaks no TLS older than 1.2', async () => {
    const from = issuer();
    const port = await serve(from, at('a.test'));
    const old = connect({
      port,
      host: '127.0.0.1',
      ca: from.authority.certPem,
      servername: 'a.test',
      minVersion: 'TLSv1',
      maxVersion: 'TLSv1.1',
    });
    const [error] = (await once(old, 'error')) as [Error];
    expect(error.message).toMatch(/version|protocol|alert/i);
  });

  it.each(['TLSv1.2', 'TLSv1.3'] as const)(
    'resumes at its own host, never at another one (%s)',
    async (version) => {
      const from = issuer();
      const [a, b] = [await serve(from, at('a.test')), await serve(from, at('b.test'))];
      const session = await sessionOf(a, from, version);
      expect(await reused(a, from, version, session)).toBe(true);
      expect(await reused(b, from, version, session)).toBe(false);
    },
  );

  it.each([
    ['that which is cheapest to hash with where the client has it', undefined, 'TLS_AES_128_GCM_SHA256'],
    ['any other that the client has', 'TLS_AES_256_GCM_SHA384', 'TLS_AES_256_GCM_SHA384'],
    ['any of TLS 1.2 that the client has', 'ECDHE-ECDSA-AES256-GCM-SHA384', 'ECDHE-ECDSA-AES256-GCM-SHA384'],
  ])('chooses %s', async (_what, ciphers, chosen) => {
    const from = issuer();
    const port = await serve(from, at('a.test'));
    const old = ciphers?.startsWith('ECDHE') === true ? { maxVersion: 'TLSv1.2' as const } : {};
    const client = connect({
      port,
      host: '127.0.0.1',
      ca: from.authority.certPem,
      servername: 'a.test',
      ciphers,
      ...old,
    });
    await once(client, 'secureConnect');
    expect(client.getCipher().name).toBe(chosen);
    client.destroy();
  });

  it('is refused by a client that trusts another install only', async () => {
    const port = await serve(issuer(), at('a.test'));
    const socket = connect({ port, host: '127.0.0.1', ca: issuer().authority.certPem, servername: 'a.test' });
    const [error] = (await once(socket, 'error')) as [Error];
    expect(error).toBeInstanceOf(Error);
  });
});

const BASE_CA = ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign,cRLSign'];
const STRICT_CA = [...BASE_CA, 'subjectKeyIdentifier=hash', 'authorityKeyIdentifier=keyid'];

const PYTHON_CLIENT = `
import ssl, socket, sys
port, host, ca = int(sys.argv[1]), sys.argv[2], sys.argv[3]
context = ssl.create_default_context(cafile=ca)
assert context.verify_flags & ssl.VERIFY_X509_STRICT
context.wrap_socket(socket.create_connection(('127.0.0.1', port), 10), server_hostname=host).close()
print('ok')
`;

/** A CA signed by a root; `ca.pem` holds it and the root. */
function intermediate(dir: string): void {
  const root = folder();
  foreignCa(root, {
    newkey: ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'],
    extensions: STRICT_CA,
    subject: 'Root',
  });
  writeFileSync(
    join(dir, 'x.cnf'),
    [...STRICT_CA.slice(1), 'basicConstraints=critical,CA:TRUE,pathlen:0'].join('\n'),
  );
  const key = [
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-keyout',
    join(dir, 'ca.key'),
  ];
  const csr = join(dir, 'ca.csr');
  const steps = [
    run('openssl', ['req', '-new', ...key, '-subj', '/CN=Intermediate', '-out', csr]),
    run('openssl', [
      'x509',
      '-req',
      '-in',
      csr,
      '-CA',
      join(root, 'ca.pem'),
      '-CAkey',
      join(root, 'ca.key'),
      '-CAcreateserial',
      '-days',
      '20',
      '-extfile',
      join(dir, 'x.cnf'),
      '-out',
      join(dir, 'ca.pem'),
    ]),
    run('sh', [
      '-c',
      `cat ${join(root, 'ca.pem')} >> ${join(dir, 'ca.pem')}; chmod 600 ${join(dir, 'ca.key')}`,
    ]),
  ];
  for (const step of steps) if (step.status !== 0) throw new Error(step.output);
}

/** What a sandbox trusts: the last certificate of the file is the root. */
function trusted(from: Issuer): string {
  const blocks = from.authority.certPem
    .split(/(?<=-----END CERTIFICATE-----\n)/)
    .filter((block) => block !== '');
  return blocks.at(-1) ?? '';
}

function rootFile(from: Issuer): string {
  const path = join(from.dir, 'trusted.pem');
  writeFileSync(path, trusted(from));
  return path;
}

/** TLS with the mint's context on a socket of ours, as the proxy does it: no SNI callback in between. */
async function serve(from: Issuer, host: Authority): Promise<number> {
  const server = createServer((raw) => {
    const secureContext = from.mint.contextFor(host);
    const socket = new TLSSocket(raw, { isServer: true, secureContext });
    socket.on('error', () => {});
    socket.once('data', () => {
      socket.end('HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello');
    });
  });
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return portOf(server.address());
}

function portOf(address: AddressInfo | string | null): number {
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

function call(command: string, args: string[]): Promise<string> {
  return new Promise((resolve) => {
    execFile(command, args, { timeout: 15_000 }, (error, stdout, stderr) => {
      resolve(error === null ? stdout : `${stdout}${stderr}${error.message}`);
    });
  });
}

type Version = 'TLSv1.2' | 'TLSv1.3';

async function sessionOf(port: number, from: Issuer, version: Version): Promise<Buffer> {
  const socket = connect({
    port,
    host: '127.0.0.1',
    ca: from.authority.certPem,
    servername: 'a.test',
    maxVersion: version,
  });
  const ready = once(socket, 'session') as Promise<[Buffer]>;
  const [session] = await ready;
  socket.destroy();
  return session;
}

async function reused(port: number, from: Issuer, version: Version, session: Buffer): Promise<boolean> {
  const socket = connect({
    port,
    host: '127.0.0.1',
    ca: from.authority.certPem,
    servername: 'a.test',
    maxVersion: version,
    session,
    checkServerIdentity: () => undefined,
  });
  await once(socket, 'secureConnect');
  const answer = socket.isSessionReused();
  socket.destroy();
  return answer;
}
