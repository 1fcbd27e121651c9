/** What one run of the bench needs on disk: compiled load programs, a CA and a server certificate, a key. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export type Material = {
  /** folder of the run, removed at its end */
  readonly dir: string;
  /** compiled load generator and upstream */
  readonly lg: string;
  readonly up: string;
  /** CA that signed `cert`; as PEM files */
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  /** CA certificate and its key in one file, for peers that mint */
  readonly caPair: string;
  readonly caKey: string;
  /** the same in RSA-2048, not related to `ca` */
  readonly rsaPair: string;
  /** the key that the upstream wants behind `Bearer ` */
  readonly realKey: string;
  readonly remove: () => void;
};

export const HOST = 'bench.test';

/** Compiles and creates all of it; throws with the tool's own words when a tool is missing. */
export function prepareMaterial(): Material {
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-bench-'));
  chmodSync(dir, 0o755); // Squid gives up root and must still read its files
  const at = (name: string) => join(dir, name);
  for (const name of ['lg', 'up']) {
    const source = join(import.meta.dirname, '..', 'load', `${name}.c`);
    execFileSync('cc', ['-O2', '-o', at(name), source, '-lssl', '-lcrypto'], { stdio: 'pipe' });
  }
  makeCertificates(dir);
  for (const name of ['ca', 'rsa']) {
    const both = readFileSync(at(`${name}.pem`), 'utf8') + readFileSync(at(`${name}.key`), 'utf8');
    writeFileSync(at(`${name}-pair.pem`), both);
  }
  return {
    dir,
    lg: at('lg'),
    up: at('up'),
    ca: at('ca.pem'),
    cert: at('server.pem'),
    key: at('server.key'),
    caPair: at('ca-pair.pem'),
    caKey: at('ca.key'),
    rsaPair: at('rsa-pair.pem'),
    realKey: `bench-${randomBytes(24).toString('hex')}`,
    remove: () => rmSync(dir, { recursive: true, force: true }),
  };
}

function makeCertificates(dir: string): void {
  const openssl = (line: string) => execFileSync('openssl', line.split(' '), { cwd: dir, stdio: 'pipe' });
  const p256 = '-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes';
  const usage = '-addext keyUsage=critical,keyCertSign,cRLSign';
  openssl(`req -x509 ${p256} -keyout ca.key -out ca.pem -days 2 -subj /CN=sallyport-bench-ca ${usage}`);
  openssl(
    `req -x509 -newkey rsa:2048 -nodes -keyout rsa.key -out rsa.pem -days 2 -subj /CN=bench-rsa ${usage}`,
  );
  openssl(`req -new ${p256} -keyout server.key -out server.csr -subj /CN=${HOST}`);
  const extensions = [
    'basicConstraints=critical,CA:FALSE',
    'keyUsage=critical,digitalSignature',
    'extendedKeyUsage=serverAuth',
    `subjectAltName=DNS:${HOST},IP:127.0.0.1`,
    'authorityKeyIdentifier=keyid',
  ];
  writeFileSync(join(dir, 'server.ext'), `${extensions.join('\n')}\n`);
  const issue = 'x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial';
  openssl(`${issue} -days 2 -extfile server.ext -out server.pem`);
  // Throw-away keys in a folder that is removed: Squid reads them as another user.
  for (const name of ['server.pem', 'ca.pem', 'server.key', 'ca.key']) chmodSync(join(dir, name), 0o644);
}
