/** SOCKS5 as a test speaks it (RFC 1928, RFC 1929): bytes made by hand, answers read one by one. */
import { isIP } from 'node:net';
import { open, secure, type Talk, type TlsOptions, talk } from './talk.ts';

export type SocksAsk = {
  readonly localAddress?: string;
  /** logs in with this as the password */
  readonly token?: string;
  /** sends a literal as a name, too */
  readonly asName?: boolean;
  /** default 1, CONNECT */
  readonly command?: number;
  /** sent right behind the request */
  readonly early?: string | Buffer;
};

const LENGTH_AT = 0xff;

export function greetingBytes(...methods: number[]): Buffer {
  return Buffer.from([5, methods.length, ...methods]);
}

export function loginBytes(password: string, user = 'any'): Buffer {
  const field = (text: string): Buffer =>
    Buffer.concat([Buffer.from([text.length & LENGTH_AT]), Buffer.from(text, 'latin1')]);
  return Buffer.concat([Buffer.from([1]), field(user), field(password)]);
}

/** `at`: `host:port`, IPv6 in brackets; what is no address is sent as a name, as UTF-8. */
export function requestBytes(at: string, ask: Pick<SocksAsk, 'asName' | 'command'> = {}): Buffer {
  const colon = at.lastIndexOf(':');
  const host = at.slice(0, colon);
  const bare = host.startsWith('[') ? host.slice(1, -1) : host;
  const port = Buffer.alloc(2);
  port.writeUInt16BE(Number(at.slice(colon + 1)));
  const head = Buffer.from([5, ask.command ?? 1, 0]);
  return Buffer.concat([head, addressBytes(ask.asName === true ? null : bare, host), port]);
}

function addressBytes(bare: string | null, host: string): Buffer {
  // A zone id has no place in the four address types.
  const family = bare === null || bare.includes('%') ? 0 : isIP(bare);
  if (bare !== null && family === 4) return Buffer.from([1, ...bare.split('.').map(Number)]);
  if (bare !== null && family === 6) return Buffer.concat([Buffer.from([4]), ipv6Bytes(bare)]);
  const name = Buffer.from(host, 'utf8');
  return Buffer.concat([Buffer.from([3, name.length]), name]);
}

function ipv6Bytes(text: string): Buffer {
  const dotted = (group: string): string[] => {
    if (!group.includes('.')) return [group];
    const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number);
    return [(a * 256 + b).toString(16), (c * 256 + d).toString(16)];
  };
  const groups = (part = ''): string[] => (part === '' ? [] : part.split(':').flatMap(dotted));
  const [head, tail] = text.split('::');
  const before = groups(head);
  const after = groups(tail);
  const all = [...before, ...Array.from({ length: 8 - before.length - after.length }, () => '0'), ...after];
  const bytes = Buffer.alloc(16);
  for (const [index, group] of all.entries()) bytes.writeUInt16BE(Number.parseInt(group, 16), index * 2);
  return bytes;
}

/** A whole handshake. `code`: the reply code; -1: the login failed; -2: no method. `client` is open behind 0. */
export async function trySocks(
  port: number,
  at: string,
  ask: SocksAsk = {},
): Promise<{ client: Talk; code: number; bytes: Buffer }> {
  const client = await open(port, ask.localAddress === undefined ? {} : { localAddress: ask.localAddress });
  client.write(ask.token === undefined ? greetingBytes(0) : greetingBytes(0, 2));
  const [, method] = await client.bytes(2);
  if (method === 0xff) return { client, code: -2, bytes: Buffer.alloc(0) };
  if (method === 2) {
    client.write(loginBytes(ask.token ?? ''));
    const [, status] = await client.bytes(2);
    if (status !== 0) return { client, code: -1, bytes: Buffer.alloc(0) };
  }
  client.write(requestBytes(at, ask));
  if (ask.early !== undefined) client.write(ask.early);
  const bytes = await client.bytes(10);
  return { client, code: bytes[1] ?? -3, bytes };
}

/** A handshake that must be let in. */
export async function socks(port: number, at: string, ask: SocksAsk = {}): Promise<Talk> {
  const { client, code } = await trySocks(port, at, ask);
  if (code !== 0) throw new Error(`SOCKS5 to ${at} was answered with ${code}`);
  return client;
}

/** The handshake, then TLS. */
export async function socksTls(port: number, at: string, options: TlsOptions & SocksAsk): Promise<Talk> {
  const client = await socks(port, at, options);
  return talk(await secure(client, at, options), client.socket);
}
