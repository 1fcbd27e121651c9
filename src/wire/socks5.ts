/**
 * SOCKS5 as a client speaks it to us (RFC 1928, RFC 1929): greeting, login where it was chosen, request. Bytes in,
 * events out, split anywhere; no sockets and no answers (`reply.ts` has those). Strict: reserved bytes are zero, a
 * name is a name, an address is sent as an address. A whole message is read at once, so nothing is held beyond one.
 */
import { Buffer } from 'node:buffer';
import { type Denied, denied } from '../flow/reason.ts';
import type { Authority } from '../flow/target.ts';
import { parseAuthority } from './authority.ts';

export type SocksCommand = 'connect' | 'bind' | 'udp-associate' | 'unknown';

/** What the client waits for: the choice of a method, the outcome of its login, the reply to its request. */
export type SocksPhase = 'greeting' | 'login' | 'request';

export type SocksEvent =
  | { readonly kind: 'more' }
  /** to be answered with this method; 0xff: none that could be used, nothing follows */
  | { readonly kind: 'greeting'; readonly method: 0x00 | 0x02 | 0xff }
  /** latin-1; the user part is a free label and is not kept */
  | { readonly kind: 'login'; readonly password: string }
  | {
      readonly kind: 'request';
      readonly command: SocksCommand;
      /** `bad_authority` where host or port is malformed */
      readonly at: Authority | Denied;
      /** the host as it came, latin-1 */
      readonly host: string;
      /** bytes that came after the request */
      readonly rest: Buffer;
    }
  /** nothing more is read; `code`: the reply code, where the reason's own is not the one */
  | { readonly kind: 'bad'; readonly why: Denied; readonly code?: number };

const VERSION = 0x05;
/** RFC 1929 section 2: the version of the login, not of SOCKS. */
const LOGIN_VERSION = 0x01;
const NO_LOGIN = 0x00;
const PASSWORD = 0x02;
const COMMANDS = new Map<number, SocksCommand>([
  [1, 'connect'],
  [2, 'bind'],
  [3, 'udp-associate'],
]);
const IPV4 = 0x01;
const NAME = 0x03;
const IPV6 = 0x04;
/** RFC 1928 section 6: address type not supported. */
const ADDRESS_TYPE_UNKNOWN = 0x08;
/** VER, CMD, RSV, ATYP */
const REQUEST_HEAD_BYTES = 4;
/** What has a meaning in an authority, but not in a name. */
const NOT_IN_A_NAME = /[:[\]]/;

const MORE: SocksEvent = { kind: 'more' };
const bad = (detail: string): SocksEvent => ({ kind: 'bad', why: denied('bad_request', detail) });

export class SocksReader {
  #held: Buffer = Buffer.alloc(0);
  #phase: SocksPhase = 'greeting';
  #over = false;

  get phase(): SocksPhase {
    return this.#phase;
  }

  /** Takes bytes as they came; copies them. To be followed by `read` until it gives `more`. */
  push(bytes: Buffer): void {
    if (!this.#over) this.#held = Buffer.concat([this.#held, bytes]);
  }

  /** The next event. After `request`, `bad` and the method 0xff there is `more` alone. */
  read(): SocksEvent {
    if (this.#over) return MORE;
    const event = this.#next();
    if (event.kind === 'greeting') this.#phase = event.method === PASSWORD ? 'login' : 'request';
    else if (event.kind === 'login') this.#phase = 'request';
    const last = event.kind === 'request' || event.kind === 'bad';
    if (last || (event.kind === 'greeting' && event.method === 0xff)) {
      this.#over = true;
      this.#held = Buffer.alloc(0);
    }
    return event;
  }

  #next(): SocksEvent {
    switch (this.#phase) {
      case 'greeting':
        return this.#greeting();
      case 'login':
        return this.#login();
      case 'request':
        return this.#request();
    }
  }

  /** RFC 1928 section 3. A login is chosen wherever it is offered: it can say more than the address. */
  #greeting(): SocksEvent {
    const [version, count] = this.#held;
    if (version !== undefined && version !== VERSION) return bad('This is no SOCKS5 greeting.');
    if (count === undefined || this.#held.length < 2 + count) return MORE;
    const methods = this.#take(2 + count).subarray(2);
    if (methods.includes(PASSWORD)) return { kind: 'greeting', method: PASSWORD };
    return { kind: 'greeting', method: methods.includes(NO_LOGIN) ? NO_LOGIN : 0xff };
  }

  /** RFC 1929 section 2. */
  #login(): SocksEvent {
    const [version, userLength] = this.#held;
    if (version !== undefined && version !== LOGIN_VERSION) return bad('Malformed SOCKS5 login.');
    if (userLength === undefined) return MORE;
    const passwordLength = this.#held[2 + userLength];
    if (passwordLength === undefined) return MORE;
    const total = 3 + userLength + passwordLength;
    if (this.#held.length < total) return MORE;
    return { kind: 'login', password: this.#take(total).toString('latin1', 3 + userLength) };
  }

  /** RFC 1928 sections 4 and 5. */
  #request(): SocksEvent {
    const [version, command, reserved, type] = this.#held;
    if (version !== undefined && version !== VERSION) return bad('Malformed SOCKS5 request.');
    if (reserved !== undefined && reserved !== 0)
      return bad('The reserved byte of a SOCKS5 request is zero.');
    if (command === undefined || type === undefined) return MORE;
    const length = this.#addressLength(type);
    if (length === null) {
      const why = denied('bad_request', 'Unknown address type in a SOCKS5 request.');
      return { kind: 'bad', why, code: ADDRESS_TYPE_UNKNOWN };
    }
    const total = REQUEST_HEAD_BYTES + length + 2;
    if (length === 0 || this.#held.length < total) return MORE;
    const message = this.#take(total);
    const address = message.subarray(REQUEST_HEAD_BYTES + (type === NAME ? 1 : 0), -2);
    const port = message.readUInt16BE(total - 2);
    return {
      kind: 'request',
      command: COMMANDS.get(command) ?? 'unknown',
      at: authorityOf(type, address, port),
      host: address.toString('latin1'),
      rest: this.#held,
    };
  }

  /** Bytes from the address on, its length byte included; 0: not known yet; null: never. */
  #addressLength(type: number): number | null {
    if (type === IPV4) return 4;
    if (type === IPV6) return 16;
    if (type !== NAME) return null;
    const length = this.#held[REQUEST_HEAD_BYTES];
    return length === undefined ? 0 : 1 + length;
  }

  #take(count: number): Buffer {
    const taken = this.#held.subarray(0, count);
    this.#held = this.#held.subarray(count);
    return taken;
  }
}

/** One canonical target, by the parser that CONNECT uses: a number in disguise is refused here as there. */
function authorityOf(type: number, address: Buffer, port: number): Authority | Denied {
  if (type === IPV4) return parseAuthority(`${[...address].join('.')}:${port}`);
  if (type === IPV6) return parseAuthority(`[${groupsOf(address)}]:${port}`);
  const name = address.toString('latin1');
  if (NOT_IN_A_NAME.test(name)) return denied('bad_authority', 'malformed host name');
  return parseAuthority(`${name}:${port}`);
}

function groupsOf(address: Buffer): string {
  const groups: string[] = [];
  for (let at = 0; at < address.length; at += 2) groups.push(address.readUInt16BE(at).toString(16));
  return groups.join(':');
}
