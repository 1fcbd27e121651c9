/** What is measured: one row each, with what is asked of Sallyport in it. */
import type { Feature, Path, Started, Upstream } from '../peers/peer.ts';
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
  /** what not every participant can; the others are skipped by name */
  readonly needs?: Feature;
  /** what is done this many times instead of for a time; seconds that it may take at most */
  readonly times?: { readonly operations: number; readonly atMost: number };
  readonly args: (via: Via, upstream: Upstream) => string[];
  readonly goals: readonly Goal[];
};

export type Via = Pick<Started, 'port' | 'host' | 'direct' | 'authorization' | 'message' | 'upgrade'>;

const GIB = 1024 ** 3;
/** One transfer; a machine that needs longer than this is not one to measure on. */
const ONCE = { operations: 1, atMost: 60 } as const;
const TRANSFER = ['gbs', 'cpuPerGb', 'peak', 'rss'] as const;
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
    title: 'The same as POST with 1 KB of JSON: a short call of an API',
    path: 'intercept',
    figure: 'usPerOp',
    columns: SPEED,
    fresh: false,
    direct: false,
    args: (via, up) => ['-m', 'http', '-c', '16', '-b', '1024', ...https(via, up)],
    goals: [{ figure: 'usPerOp', kind: 'ratio', against: 'without-keys', atMost: 1.1, unit: '' }],
  },
  {
    id: 'post-keys',
    title: 'The same where placeholders may stand in bodies: the body is searched and held, too',
    path: 'intercept',
    figure: 'usPerOp',
    columns: SPEED,
    fresh: false,
    direct: false,
    needs: 'body-keys',
    args: (via, up) => {
      const keyed = { ...via, authorization: via.message ?? via.authorization };
      return ['-m', 'http', '-c', '16', '-b', '1024', ...https(keyed, { ...up, tls: up.tlsKeys })];
    },
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
  {
    id: 'h2',
    title:
      'Intercepted HTTP/2 request with a key swap, 1 KB answer, 4 connections with 8 streams each, HTTP/1.1 upstream',
    path: 'intercept',
    figure: 'usPerOp',
    columns: SPEED,
    fresh: false,
    direct: false,
    needs: 'h2',
    args: (via, up) => ['-m', 'h2', '-c', '4', '-S', '8', ...https(via, up)],
    goals: [],
  },
  {
    id: 'h2-h2',
    title: 'The same with HTTP/2 to the upstream as well',
    path: 'intercept',
    figure: 'usPerOp',
    columns: SPEED,
    fresh: false,
    direct: false,
    needs: 'h2-h2',
    args: (via, up) => ['-m', 'h2', '-c', '4', '-S', '8', ...https(via, { ...up, tls: up.h2 })],
    goals: [],
  },
  {
    id: 'websocket',
    title: 'Intercepted WebSocket: a text message of 125 bytes and its echo, 16 connections',
    path: 'intercept',
    figure: 'usPerOp',
    columns: SPEED,
    fresh: false,
    direct: false,
    needs: 'websocket',
    args: (via, up) => {
      const keyed = { ...via, authorization: via.upgrade ?? via.authorization };
      return ['-m', 'ws', '-c', '16', ...https(keyed, up, '/ws')];
    },
    goals: [],
  },
  {
    id: 'websocket-keys',
    title: 'The same with a key swapped in each message',
    path: 'intercept',
    figure: 'usPerOp',
    columns: SPEED,
    fresh: false,
    direct: false,
    needs: 'websocket-keys',
    args: (via, up) => {
      const keyed = { ...via, authorization: via.message ?? via.authorization };
      const swapped = ['-M', keyed.authorization, '-E', up.authorization];
      return ['-m', 'ws', '-c', '16', ...swapped, ...https(keyed, { ...up, tls: up.tlsKeys }, '/ws')];
    },
    goals: [],
  },
  {
    id: 'sse',
    title:
      'Delay of server-sent events, 16 intercepted streams with one in 10 ms each, beside a direct connection',
    path: 'intercept',
    figure: 'usPerOp',
    columns: ['firstP50', 'firstP99', 'p50', 'p99', 'usPerOp'],
    fresh: false,
    direct: true,
    args: (via, up) => ['-m', 'sse', '-c', '16', ...https(via, up, '/e50')],
    goals: [],
  },
  {
    id: 'gib-tunnel',
    title: '1 GiB down through a tunnel',
    path: 'tunnel',
    figure: 'cpuPerGb',
    columns: TRANSFER,
    fresh: false,
    direct: false,
    times: ONCE,
    args: (via, up) => ['-m', 'http', '-N', '-c', '1', ...raw(via, up.plain), ...download(up.authorization)],
    goals: [],
  },
  {
    id: 'gib-tunnel-up',
    title: '1 GiB up through a tunnel',
    path: 'tunnel',
    figure: 'cpuPerGb',
    columns: TRANSFER,
    fresh: false,
    direct: false,
    times: ONCE,
    args: (via, up) => ['-m', 'http', '-N', '-c', '1', ...raw(via, up.plain), ...upload(up.authorization)],
    goals: [],
  },
  {
    id: 'gib-intercepted',
    title: '1 GiB down in one intercepted answer',
    path: 'intercept',
    figure: 'cpuPerGb',
    columns: TRANSFER,
    fresh: false,
    direct: false,
    times: ONCE,
    args: (via, up) => ['-m', 'http', '-c', '1', ...https(via, up), ...download(via.authorization)],
    goals: [],
  },
  {
    id: 'gib-intercepted-up',
    title: '1 GiB up in one intercepted request',
    path: 'intercept',
    figure: 'cpuPerGb',
    columns: TRANSFER,
    fresh: false,
    direct: false,
    times: ONCE,
    args: (via, up) => ['-m', 'http', '-c', '1', ...https(via, up), ...upload(via.authorization)],
    goals: [],
  },
];

function https(via: Via, upstream: Upstream, path = '/1024'): string[] {
  return [...raw(via, upstream.tls), '-s', HOST, '-u', path, '-a', via.authorization];
}

/** Options that count, put behind those of `https` or `raw`: the last one of a kind holds. */
function download(authorization: string): string[] {
  return ['-u', `/${GIB}`, '-a', authorization];
}

function upload(authorization: string): string[] {
  return ['-u', '/0', '-b', String(GIB), '-a', authorization];
}

function raw(via: Via, port: number): string[] {
  return ['-x', `127.0.0.1:${via.port}`, '-t', `${via.host}:${port}`, ...(via.direct ? ['-D'] : [])];
}
