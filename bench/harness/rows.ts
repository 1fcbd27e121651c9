/** What is measured: one row each, with what is asked of Sallyport in it. */
import type { Path, Started, Upstream } from '../peers/peer.ts';
import type { Sample } from './load.ts';
import { HOST } from './material.ts';

/** What Sallyport's figure may be at most. */
export type Goal = {
  readonly figure: keyof Omit<Sample, 'fault'>;
  /** `ratio` to a peer, `above` a peer's figure, or `plain` */
  readonly kind: 'ratio' | 'above' | 'plain';
  /** peer, or `direct` for the upstream without a proxy */
  readonly against?: string;
  readonly atMost: number;
  readonly unit: string;
};

export type Row = {
  readonly id: string;
  readonly title: string;
  readonly path: Path;
  /** the figure that peers are compared by */
  readonly figure: keyof Omit<Sample, 'fault'>;
  readonly columns: readonly (keyof Omit<Sample, 'fault'>)[];
  /** memory is measured in a process that has served nothing yet */
  readonly fresh: boolean;
  /** also measured without any proxy */
  readonly direct: boolean;
  readonly args: (via: Via, upstream: Upstream) => string[];
  readonly goals: readonly Goal[];
};

export type Via = Pick<Started, 'port' | 'host' | 'direct' | 'authorization'>;

const SPEED = ['rate', 'usPerOp', 'p50', 'p99', 'rss'] as const;

export const ROWS: readonly Row[] = [
  {
    id: 'keepalive',
    title: 'Intercepted keep-alive request with a key swap, 1 KB answer, 16 connections',
    path: 'intercept',
    figure: 'usPerOp',
    columns: SPEED,
    fresh: false,
    direct: false,
    args: (via, up) => ['-m', 'http', '-c', '16', ...https(via, up)],
    goals: [
      { figure: 'usPerOp', kind: 'ratio', against: 'squid', atMost: 0.4, unit: '' },
      { figure: 'usPerOp', kind: 'ratio', against: 'nginx', atMost: 1.8, unit: '' },
    ],
  },
  {
    id: 'post',
    title: 'The same as POST with a body of 1 KB',
    path: 'intercept',
    figure: 'usPerOp',
    columns: SPEED,
    fresh: false,
    direct: false,
    args: (via, up) => ['-m', 'http', '-c', '16', '-b', '1024', ...https(via, up)],
    goals: [],
  },
  {
    id: 'handshake',
    title: 'New intercepted connection: CONNECT, full TLS handshake, one request, closed',
    path: 'intercept',
    figure: 'usPerOp',
    columns: SPEED,
    fresh: false,
    direct: false,
    args: (via, up) => ['-m', 'hs', '-c', '8', ...https(via, up)],
    goals: [
      { figure: 'usPerOp', kind: 'ratio', against: 'squid', atMost: 0.75, unit: '' },
      { figure: 'usPerOp', kind: 'ratio', against: 'squid-rsa', atMost: 0.75, unit: '' },
    ],
  },
  {
    id: 'tunnel',
    title: 'New tunnel: CONNECT, 32 bytes there and back, closed',
    path: 'tunnel',
    figure: 'usPerOp',
    columns: SPEED,
    fresh: false,
    direct: false,
    args: (via, up) => ['-m', 'tunnel', '-e', '-c', '16', ...raw(via, up.echo)],
    goals: [{ figure: 'usPerOp', kind: 'ratio', against: 'squid', atMost: 1, unit: '' }],
  },
  {
    id: 'bulk',
    title: 'Bulk download through 4 tunnels',
    path: 'tunnel',
    figure: 'cpuPerGb',
    columns: ['gbs', 'cpuPerGb', 'rss'],
    fresh: false,
    direct: false,
    args: (via, up) => ['-m', 'pull', '-c', '4', ...raw(via, up.source)],
    goals: [{ figure: 'cpuPerGb', kind: 'ratio', against: 'squid', atMost: 0.75, unit: '' }],
  },
  {
    id: 'idle-tunnel',
    title: 'Memory of an idle tunnel, 1,000 held',
    path: 'tunnel',
    figure: 'kibEach',
    columns: ['kibEach', 'rss'],
    fresh: true,
    direct: false,
    args: (via, up) => ['-m', 'idle', '-N', '-c', '1000', ...raw(via, up.echo)],
    goals: [{ figure: 'kibEach', kind: 'plain', atMost: 12, unit: 'KiB' }],
  },
  {
    id: 'idle-intercepted',
    title: 'Memory of an idle intercepted connection after one request, 500 held',
    path: 'intercept',
    figure: 'kibEach',
    columns: ['kibEach', 'rss'],
    fresh: true,
    direct: false,
    args: (via, up) => ['-m', 'idle', '-c', '500', ...https(via, up)],
    goals: [{ figure: 'kibEach', kind: 'plain', atMost: 80, unit: 'KiB' }],
  },
  {
    id: 'latency',
    title: 'One request at a time on a warm intercepted connection, beside a direct one',
    path: 'intercept',
    figure: 'p50',
    columns: ['p50', 'p99', 'rate'],
    fresh: false,
    direct: true,
    args: (via, up) => ['-m', 'http', '-c', '1', ...https(via, up)],
    goals: [
      { figure: 'p50', kind: 'above', against: 'direct', atMost: 0.15, unit: 'ms' },
      { figure: 'p99', kind: 'above', against: 'direct', atMost: 1, unit: 'ms' },
    ],
  },
];

function https(via: Via, upstream: Upstream): string[] {
  return [...raw(via, upstream.tls), '-s', HOST, '-u', '/1024', '-a', via.authorization];
}

function raw(via: Via, port: number): string[] {
  return ['-x', `127.0.0.1:${via.port}`, '-t', `${via.host}:${port}`, ...(via.direct ? ['-D'] : [])];
}
