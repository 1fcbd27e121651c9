/** Proxies from npm, each in a Node process of its own: proxy-chain and mockttp. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, startPinned } from '../harness/process.ts';
import { type Feature, type Path, type Peer, PLACEHOLDER, type Setting, type Started } from './peer.ts';

const FOLDER = join(import.meta.dirname, '..');

export const proxyChain: Peer = nodePeer('proxy-chain', ['tunnel', 'intercept'], []);
export const mockttp: Peer = nodePeer('mockttp', ['intercept'], ['h2', 'h2-h2', 'websocket']);

function nodePeer(name: string, paths: readonly Path[], features: readonly Feature[]): Peer {
  return {
    name,
    paths,
    features,
    missing: () => (existsSync(join(FOLDER, 'node_modules', name)) ? [] : [`${name} (npm ci in bench/)`]),
    start: (setting, path) => start(name, setting, path),
  };
}

async function start(name: string, { material, upstream, core }: Setting, path: Path): Promise<Started> {
  const port = await freePort();
  const running = await startPinned({
    name,
    core,
    command: process.execPath,
    args: [join(FOLDER, 'peers', 'servers', `${name}.js`)],
    port,
    log: join(material.dir, `${name}-${port}.log`),
    env: {
      BENCH_PORT: String(port),
      BENCH_PATH: path,
      BENCH_UPSTREAM: String(upstream.tls),
      BENCH_CA: material.ca,
      BENCH_CA_KEY: material.caKey,
      BENCH_CERT: material.cert,
      BENCH_KEY: material.key,
      BENCH_SECRET: material.realKey,
      NODE_EXTRA_CA_CERTS: material.ca,
    },
  });
  const via = { port, direct: false, host: '127.0.0.1', authorization: PLACEHOLDER };
  // mockttp changes no field of a WebSocket's handshake.
  return { ...running, ...via, upgrade: upstream.authorization };
}
