/** HTTP/2 frame by frame, as an attacker writes it: real TLS through the proxy, nothing of a library. */
import type tls from 'node:tls';
import { tlsWith } from './h2.ts';
import type { ConnectOptions } from './talk.ts';
import { eventually } from './world.ts';

export type RawFrame = {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
};

export const TYPE = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  push: 5,
  ping: 6,
  goaway: 7,
  window: 8,
  continuation: 9,
} as const;
export const END_STREAM = 1;
export const END_HEADERS = 4;
export const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

export function frame(type: number, flags: number, stream: number, payload: Buffer | number[] = []): Buffer {
  const body = Buffer.from(payload);
  const head = Buffer.alloc(9);
  head.writeUIntBE(body.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, body]);
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** A header section: literals without indexing and without Huffman (RFC 7541 section 6.2.2). */
export function section(fields: readonly (readonly [string, string])[]): Buffer {
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]));
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'latin1');
  return Buffer.concat([integer(bytes.length, 7), bytes]);
}

/** RFC 7541 section 5.1, prefix bits zero. */
export function integer(value: number, prefix: number): Buffer {
  const most = 2 ** prefix - 1;
  if (value < most) return Buffer.from([value]);
  const out = [most];
  let rest = value - most;
  for (; rest >= 128; rest = Math.floor(rest / 128)) out.push((rest % 128) + 128);
  out.push(rest);
  return Buffer.from(out);
}

export class RawH2 {
  readonly socket: tls.TLSSocket;
  readonly at: string;
  readonly frames: RawFrame[] = [];
  over = false;
  #held = Buffer.alloc(0);

  constructor(socket: tls.TLSSocket, at: string) {
    this.socket = socket;
    this.at = at;
    socket.on('data', (bytes: Buffer) => {
      this.#held = Buffer.concat([this.#held, bytes]);
      this.#split();
    });
    const ended = (): void => {
      this.over = true;
    };
    socket.on('end', ended);
    socket.on('close', ended);
  }

  write(...parts: (Buffer | string)[]): void {
    if (!this.socket.destroyed) this.socket.write(Buffer.concat(parts.map((part) => Buffer.from(part))));
  }

  /** Preface and an empty SETTINGS. */
  begin(): void {
    this.write(PREFACE, frame(TYPE.settings, 0, 0));
  }

  /** HEADERS of a GET that is complete. */
  get(stream: number, path = '/', more: readonly (readonly [string, string])[] = []): Buffer {
    return frame(TYPE.headers, END_STREAM | END_HEADERS, stream, section([...this.start(path), ...more]));
  }

  start(path = '/', method = 'GET'): (readonly [string, string])[] {
    return [
      [':method', method],
      [':scheme', 'https'],
      [':authority', this.at],
      [':path', path],
    ];
  }

  /** The first frame like this. */
  seen(type: number, stream?: number): RawFrame | undefined {
    return this.frames.find((one) => one.type === type && (stream === undefined || one.stream === stream));
  }

  /** Error code of the GOAWAY, once it is there. */
  goaway(): Promise<number> {
    return eventually(() => {
      const found = this.frames.find((one) => one.type === TYPE.goaway && one.payload.readUInt32BE(4) !== 0);
      return found === undefined ? null : { code: found.payload.readUInt32BE(4) };
    }).then(({ code }) => code);
  }

  /** Error code of the RST_STREAM of a stream. */
  reset(stream: number): Promise<number> {
    return eventually(() => {
      const found = this.seen(TYPE.reset, stream);
      return found === undefined ? null : { code: found.payload.readUInt32BE(0) };
    }).then(({ code }) => code);
  }

  closed(): Promise<boolean> {
    return eventually(() => this.over);
  }

  /** The whole body of a stream, once it ended. */
  async body(stream: number): Promise<string> {
    await eventually(() =>
      this.frames.some((one) => one.stream === stream && one.type <= 1 && (one.flags & END_STREAM) !== 0),
    );
    const data = this.frames.filter((one) => one.type === TYPE.data && one.stream === stream);
    return Buffer.concat(data.map(({ payload }) => payload)).toString();
  }

  destroy(): void {
    this.socket.destroy();
  }

  #split(): void {
    while (this.#held.length >= 9) {
      const length = this.#held.readUIntBE(0, 3);
      if (this.#held.length < 9 + length) return;
      const [, , , type = 0, flags = 0] = this.#held;
      const stream = this.#held.readUInt32BE(5) & 0x7fff_ffff;
      this.frames.push({ type, flags, stream, payload: this.#held.subarray(9, 9 + length) });
      this.#held = this.#held.subarray(9 + length);
    }
  }
}

export async function rawH2(
  port: number,
  at: string,
  options: ConnectOptions & { ca: string; alpn?: string[] },
): Promise<RawH2> {
  return new RawH2(await tlsWith(port, at, { ...options, alpn: options.alpn ?? ['h2'] }), at);
}
