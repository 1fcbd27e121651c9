/**
 * Squid 5 or newer with OpenSSL: a plain CONNECT proxy for tunnels, ssl-bump for interception. Its leaves have
 * the key of its CA: `squid` gets an EC one as ours is, `squid-rsa` the RSA-2048 one of the usual recipes, which
 * costs it 0.7 ms more per full handshake.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HOST, type Material } from '../harness/material.ts';
import { findProgram, freePort, startPinned } from '../harness/process.ts';
import { type Path, type Peer, PLACEHOLDER, type Setting, type Started } from './peer.ts';

const HELPER = '/usr/lib/squid/security_file_certgen';

export const squid: Peer = squidPeer('squid', ['tunnel', 'intercept'], (material) => material.caPair);
export const squidRsa: Peer = {
  ...squidPeer('squid-rsa', ['intercept'], (material) => material.rsaPair),
  rows: ['handshake'],
};

type PickCa = (material: Material) => string;

function squidPeer(name: string, paths: readonly Path[], ca: PickCa): Peer {
  return {
    name,
    paths,
    features: ['websocket'],
    missing,
    start: (setting, path) => start(setting, path, ca(setting.material)),
  };
}

function missing(): string[] {
  return [
    ...(findProgram('squid') === undefined ? ['squid (Debian: squid-openssl)'] : []),
    ...(existsSync(HELPER) ? [] : [`${HELPER} (Debian: squid-openssl)`]),
  ];
}

async function start(setting: Setting, path: Path, ca: string): Promise<Started> {
  const port = await freePort();
  const dir = join(setting.material.dir, `squid-${port}`);
  mkdirSync(dir);
  chmodSync(dir, 0o777); // it runs as a user of its own
  writeFileSync(join(dir, 'hosts'), `127.0.0.1 ${HOST}\n`);
  if (path === 'intercept')
    execFileSync(HELPER, ['-c', '-s', join(dir, 'db'), '-M', '16MB'], { stdio: 'pipe' });
  execFileSync('chmod', ['-R', 'a+rwX', dir]);
  const config = join(dir, 'squid.conf');
  writeFileSync(
    config,
    [...common(dir), ...(path === 'tunnel' ? plain(port) : bump(port, dir, setting, ca))].join('\n'),
  );
  const running = await startPinned({
    name: 'squid',
    core: setting.core,
    command: findProgram('squid') ?? 'squid',
    args: ['-N', '-f', config],
    port,
    log: join(dir, 'out.log'),
  });
  return { ...running, port, direct: false, host: HOST, authorization: PLACEHOLDER };
}

function common(dir: string): string[] {
  return [
    'http_access allow all',
    'cache deny all',
    'access_log none',
    'cache_store_log none',
    `cache_log ${dir}/cache.log`,
    `pid_filename ${dir}/squid.pid`,
    `coredump_dir ${dir}`,
    `hosts_file ${dir}/hosts`,
    'netdb_filename none',
    'pinger_enable off',
    'shutdown_lifetime 1 seconds',
    'max_filedescriptors 65536',
    'client_idle_pconn_timeout 10 minutes',
    'visible_hostname bench',
    'http_upgrade_request_protocols websocket allow all',
  ];
}

function plain(port: number): string[] {
  return [`http_port 127.0.0.1:${port}`, ''];
}

function bump(port: number, dir: string, setting: Setting, ca: string): string[] {
  const { material } = setting;
  return [
    `http_port 127.0.0.1:${port} ssl-bump tls-cert=${ca} generate-host-certificates=on dynamic_cert_mem_cache_size=16MB`,
    `sslcrtd_program ${HELPER} -s ${dir}/db -M 16MB`,
    'sslcrtd_children 2',
    'ssl_bump bump all',
    // Else every POST opens an upstream connection of its own, which no other participant does.
    'server_pconn_for_nonretriable allow all',
    `tls_outgoing_options cafile=${material.ca}`,
    'request_header_access Authorization deny all',
    `request_header_replace Authorization Bearer ${material.realKey}`,
    '',
  ];
}
