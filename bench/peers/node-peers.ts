/** Proxies in a Node process of their own: proxy-chain and mockttp from npm, and the floor that this runtime has. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, startPinned } from '../harness/process.ts';
import { type Feature, type Path, type Peer, PLACEHOLDER, type Setting, type Started } from './peer.ts';

const FOLDER = join(import.meta.dirname, '..');
/** Those in which something is asked of Sallyport: the floor knows no more than they need. */
const ASKED = [
  'keepalive',
  'post',
  'handshake',
  'tunnel',
  'bulk',
  'idle-tunnel',
  'idle-intercepted',
  'latency',
];

export const proxyChain: Peer = nodePeer('proxy-chain', ['tunnel', 'intercept'], []);
export const mockttp: Peer = nodePeer('mockttp', ['intercept'], ['h2', 'h2-h2', 'websocket']);

export const floor: Peer = {
  name: 'floor',
  paths: ['tunnel', 'intercept'],
  features: [],
  rows: ASKED,
  missing: () => [],
  start: (setting, path) => start('floor', 'floor.ts', setting, path),
};

function nodePeer(name: string, paths: readonly Path[], features: readonly Feature[]): Peer {
  return {
    name,
    paths,
    features,
    missing: () => (existsSync(join(FOLDER, 'node_modules', name)) ? [] : [`${name} (npm ci in bench/)`]),
    start: (setting, path) => start(name, `${name}.js`, setting, path),
  };
}

async function start(name: string, file: string, setting: Setting, path: Path): Promise<Started> {
  const { material, upstream, core } = setting;
  const port = await freePort();
  const running = await startPinned({
    name,
    core,
    command: process.execPath,
    args: [join(FOLDER, 'peers', 'servers', file)],
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
