/**
 * HTTP/1.1 as a test speaks it: bytes written as they are, responses read by a small reader of its own (not the
 * product's). Nothing is kept of a body but what a test asks for, so that bulk tests stay small.
 */
import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';

export type Reply = {
  readonly status: number;
  /** reason phrase */
  readonly reason: string;
  readonly head: string;
  readonly body: Buffer;
  /** value of a field, by lower-case name */
  field(name: string): string | undefined;
  /** values of all fields of that name */
  fields(name: string): string[];
  json(): Record<string, unknown>;
};

export type Talk = {
  readonly socket: net.Socket;
  write(bytes: string | Buffer): void;
  /** the next whole response; `head`: it answers a HEAD */
  reply(how?: { head?: boolean; limitMs?: number }): Promise<Reply>;
  /** the next response head alone; what follows it is read with `bytes` */
  head(limitMs?: number): Promise<Reply>;
  /** `write`, then `reply` */
  ask(text: string, how?: { head?: boolean; limitMs?: number }): Promise<Reply>;
  /** at least `count` bytes that were not read yet; all that came */
  bytes(count: number, limitMs?: number): Promise<Buffer>;
  /** everything until the peer ended or reset */
  rest(limitMs?: number): Promise<Buffer>;
  /** resolves when the peer ended, reset or closed */
  over(limitMs?: number): Promise<void>;
  destroy(): void;
  /** breaks the TCP connection off with a reset */
  reset(): void;
};

type From = { readonly localAddress?: string };
export type ConnectOptions = From & { readonly headers?: string };
export type TlsOptions = ConnectOptions & {
  readonly ca: string;
  /** null: no server name */
  readonly servername?: string | null;
};

const LIMIT_MS = 30_000;

/** A TCP connection to the proxy. */
export async function open(port: number, from: From = {}): Promise<Talk> {
  const socket = net.connect({ host: '127.0.0.1', port, ...from, allowHalfOpen: true });
  await once(socket, 'connect');
  return talk(socket);
}

/** One request on a connection of its own. */
export async function askOnce(port: number, text: string, from: From = {}): Promise<Reply> {
  const client = await open(port, from);
  try {
    return await client.ask(text, { head: text.startsWith('HEAD ') });
  } finally {
    client.destroy();
  }
}

export function connectText(at: string, headers = ''): string {
  return `CONNECT ${at} HTTP/1.1\r\nHost: ${at}\r\n${headers}\r\n`;
}

/** An answered CONNECT, refused or not; `client` is open behind a 200. */
export async function tryConnect(
  port: number,
  at: string,
  options: ConnectOptions = {},
): Promise<{ client: Talk; answer: Reply }> {
  const client = await open(port, options);
  client.write(connectText(at, options.headers));
  const answer = await client.head();
  if (answer.status === 200) return { client, answer };
  const body = await client.rest();
  client.destroy();
  return { client, answer: { ...answer, body, json: () => parsed(body) } };
}

/** A CONNECT that must be let in. */
export async function connect(port: number, at: string, options: ConnectOptions = {}): Promise<Talk> {
  const { client, answer } = await tryConnect(port, at, options);
  if (answer.status !== 200) throw new Error(`${answer.head}\n${answer.body.toString()}`);
  return client;
}

/** CONNECT, then TLS; `socket` of the result is the TLS socket. */
export async function connectTls(port: number, at: string, options: TlsOptions): Promise<Talk> {
  const client = await connect(port, at, options);
  return talk(await secure(client, at, options), client.socket);
}

/** TLS on top of an open CONNECT. Rejects when the handshake fails. */
export async function secure(client: Talk, at: string, options: Pick<TlsOptions, 'ca' | 'servername'>) {
  client.socket.removeAllListeners('data');
  const name = options.servername === undefined ? at.slice(0, at.lastIndexOf(':')) : options.servername;
  const socket = tls.connect({
    socket: client.socket,
    ca: options.ca,
    ...(name === null ? { checkServerIdentity: () => undefined } : { servername: name }),
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  socket.once('secureConnect', resolve);
  socket.once('error', reject);
  socket.once('close', () => reject(new Error('closed during the handshake')));
  await promise;
  return socket;
}

/** `raw`: the TCP socket below, where `socket` is TLS on top of one. */
export function talk(socket: net.Socket, raw: net.Socket = socket): Talk {
  let parts: Buffer[] = [];
  let size = 0;
  let over = false;
  let wake = (): void => {};
  /** what was not read yet, in one piece */
  const held = (): Buffer => {
    const [first] = parts;
    if (parts.length !== 1 || first === undefined) parts = [Buffer.concat(parts)];
    return parts[0] ?? Buffer.alloc(0);
  };
  const ended = (): void => {
    over = true;
    wake();
  };
  socket.on('data', (bytes: Buffer) => {
    parts.push(bytes);
    size += bytes.length;
    wake();
  });
  socket.on('error', ended);
  socket.on('end', ended);
  socket.on('close', ended);

  /** Waits until `look` gives something. */
  const wait = async <T>(look: () => T | null, limitMs = LIMIT_MS): Promise<T> => {
    const late = Date.now() + limitMs;
    for (;;) {
      const found = look();
      if (found !== null) return found;
      const left = late - Date.now();
      if (over || left <= 0) {
        const shown = JSON.stringify(held().subarray(0, 300).toString('latin1'));
        throw new Error(`${over ? 'the peer ended' : `nothing within ${limitMs} ms`}; unread: ${shown}`);
      }
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, left);
      wake = resolve;
      await promise;
      clearTimeout(timer);
    }
  };
  const take = (count: number): Buffer => {
    const all = held();
    parts = [all.subarray(count)];
    size = parts[0]?.length ?? 0;
    return all.subarray(0, count);
  };
  const takeHead = (): string | null => {
    const at = held().indexOf('\r\n\r\n');
    return at === -1 ? null : take(at + 4).toString('latin1');
  };
  const takeBody = async (reply: Reply, limitMs?: number): Promise<Buffer> => {
    if (reply.field('transfer-encoding') === 'chunked') return takeChunks(limitMs);
    const length = reply.field('content-length');
    if (length === undefined) return wait(() => (over ? take(size) : null), limitMs);
    return wait(() => (size >= Number(length) ? take(Number(length)) : null), limitMs);
  };
  const takeLine = (limitMs?: number): Promise<string> =>
    wait(() => {
      const at = held().indexOf('\r\n');
      return at === -1 ? null : take(at + 2).toString('latin1');
    }, limitMs);
  const takeChunks = async (limitMs?: number): Promise<Buffer> => {
    const chunks: Buffer[] = [];
    for (;;) {
      const length = Number.parseInt(await takeLine(limitMs), 16);
      if (length === 0) {
        // Trailers, up to the empty line.
        while ((await takeLine(limitMs)) !== '\r\n');
        return Buffer.concat(chunks);
      }
      const chunk = await wait(() => (size >= length + 2 ? take(length + 2) : null), limitMs);
      chunks.push(chunk.subarray(0, length));
    }
  };

  const self: Talk = {
    socket,
    write: (bytes) => void socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes),
    head: async (limitMs) => replyOf(await wait(takeHead, limitMs), Buffer.alloc(0)),
    async reply(how = {}) {
      const head = replyOf(await wait(takeHead, how.limitMs), Buffer.alloc(0));
      const bare = how.head === true || head.status < 200 || head.status === 204 || head.status === 304;
      return bare ? head : replyOf(head.head, await takeBody(head, how.limitMs));
    },
    ask(text, how) {
      self.write(text);
      return self.reply(how);
    },
    bytes: (count, limitMs) => wait(() => (size >= count ? take(size) : null), limitMs),
    rest: (limitMs) => wait(() => (over ? take(size) : null), limitMs),
    over: (limitMs) => wait(() => (over ? true : null), limitMs).then(() => {}),
    destroy: () => void socket.destroy(),
    reset: () => void raw.resetAndDestroy(),
  };
  return self;
}

function replyOf(head: string, body: Buffer): Reply {
  const [line = '', ...lines] = head.split('\r\n');
  const [, status = '0', ...reason] = line.split(' ');
  const fields = (name: string): string[] =>
    lines
      .filter((field) => field.toLowerCase().startsWith(`${name}:`))
      .map((field) => field.slice(name.length + 1).trim());
  return {
    status: Number(status),
    reason: reason.join(' '),
    head,
    body,
    fields,
    field: (name) => fields(name)[0],
    json: () => parsed(body),
  };
}

function parsed(body: Buffer): Record<string, unknown> {
  const value: unknown = JSON.parse(body.toString('utf8'));
  if (typeof value !== 'object' || value === null) throw new Error('no JSON object');
  return Object.fromEntries(Object.entries(value));
}
