/** Any proxy that someone else has started: `--peer name=host:port`. The real key is sent: it need not swap. */
import { listenersOf } from '../harness/process.ts';
import type { Peer } from './peer.ts';

/** Reads `name=host:port`; throws TypeError for anything else, and for a host that is not loopback. */
export function externalPeer(text: string): Peer {
  const found = /^([a-z0-9][a-z0-9._-]*)=(?:127\.0\.0\.1|localhost):(\d{1,5})$/i.exec(text);
  const [, name, digits] = found ?? [];
  const port = Number(digits);
  if (name === undefined || port < 1 || port > 65_535) {
    throw new TypeError(`--peer ${text}: write name=127.0.0.1:port (the bench stays on loopback)`);
  }
  return {
    name,
    paths: ['tunnel', 'intercept'],
    missing: () =>
      listenersOf(port).length === 0 ? [`a process of this machine that listens on port ${port}`] : [],
    start: async ({ material }) => ({
      port,
      direct: false,
      host: '127.0.0.1',
      authorization: `Bearer ${material.realKey}`,
      pids: () => listenersOf(port),
      stop: async () => {},
    }),
  };
}
