/** Builds ClientHello bytes, right and wrong. */
import { Buffer } from 'node:buffer';

export function vector(lengthSize: 1 | 2 | 3, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const length = Buffer.alloc(lengthSize);
  length.writeUIntBE(body.length, 0, lengthSize);
  return Buffer.concat([length, body]);
}

export function extension(type: number, data: Buffer): Buffer {
  const head = Buffer.alloc(2);
  head.writeUInt16BE(type);
  return Buffer.concat([head, vector(2, data)]);
}

export function serverName(name: string | Buffer, type = 0): Buffer {
  const entry = Buffer.concat([Buffer.from([type]), vector(2, Buffer.from(name))]);
  return extension(0, vector(2, entry));
}

export function alpn(...names: readonly string[]): Buffer {
  return extension(16, vector(2, ...names.map((name) => vector(1, Buffer.from(name)))));
}

export type HelloParts = {
  readonly version?: number;
  readonly sessionId?: Buffer;
  readonly ciphers?: Buffer;
  readonly compression?: Buffer;
  /** null: no extensions block at all */
  readonly extensions?: readonly Buffer[] | null;
  readonly trailing?: Buffer;
};

/** The handshake message. */
export function helloMessage(parts: HelloParts = {}): Buffer {
  const version = Buffer.alloc(2);
  version.writeUInt16BE(parts.version ?? 0x0303);
  const extensions = parts.extensions === undefined ? [serverName('up.test')] : parts.extensions;
  const body = [
    version,
    Buffer.alloc(32, 7),
    vector(1, parts.sessionId ?? Buffer.alloc(32)),
    vector(2, parts.ciphers ?? Buffer.from([0x13, 0x01, 0x13, 0x02])),
    vector(1, parts.compression ?? Buffer.from([0])),
    ...(extensions === null ? [] : [vector(2, ...extensions)]),
    parts.trailing ?? Buffer.alloc(0),
  ];
  return Buffer.concat([Buffer.from([1]), vector(3, ...body)]);
}

/** The message in records of at most that many bytes. */
export function records(message: Buffer, size = 16_384, version = 0x0301): Buffer {
  const out: Buffer[] = [];
  for (let at = 0; at < message.length; at += size) {
    const head = Buffer.from([22, version >> 8, version & 0xff]);
    out.push(head, vector(2, message.subarray(at, at + size)));
  }
  return Buffer.concat(out);
}
