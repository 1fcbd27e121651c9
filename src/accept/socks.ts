/**
 * SOCKS5 on the proxy port (RFC 1928, RFC 1929): the handshake with its deadline, who asks, and the target; from there
 * on a connection is what a CONNECT is (`connect.ts`). CONNECT alone is served. A token is the password of the login;
 * an empty one is none. Every handshake that was begun leaves one end record, whatever becomes of it.
 */
import type { FlowRecord } from '../audit/flow-record.ts';
import type { Answerer } from '../base/answer.ts';
import type { Clock } from '../base/clock.ts';
import type { ClientLink, LinkUser } from '../base/link.ts';
import { type Credential, NO_CREDENTIAL } from '../flow/identity.ts';
import { type Denied, denied, REASONS } from '../flow/reason.ts';
import type { Via } from '../flow/target.ts';
import { socks5Login, socks5Method, socks5Refusal, socks5Reply } from '../wire/reply.ts';
import { type SocksCommand, type SocksEvent, SocksReader } from '../wire/socks5.ts';
import { type AskerDeps, askerOf } from './asker.ts';
import { type ConnectDeps, openConnect } from './connect.ts';

export type SocksDeps = ConnectDeps &
  AskerDeps & {
    readonly clock: Clock;
    readonly credentialOfPassword: (password: string) => Credential;
    /** fills in what the source address tells of a client */
    readonly describe: (client: string, record: FlowRecord) => void;
    /** does a text hold a real key, current or revoked */
    readonly holdsKey: (text: string) => boolean;
    readonly newRecord: (ask: { flow: string; client: string; via: Via }) => FlowRecord;
  };

/** From the first byte to a whole request. */
const HANDSHAKE_MS = 10_000;
/** RFC 1928 section 6. */
const COMMAND_NOT_SUPPORTED = 0x07;
const COMMAND_NAMES: Readonly<Record<SocksCommand, string | null>> = {
  connect: 'CONNECT',
  bind: 'BIND',
  'udp-associate': 'UDP-ASSOCIATE',
  unknown: null,
};

const SOCKS_ANSWERS: Answerer = {
  success: socks5Reply(0x00),
  refusal: (_record, why) => socks5Refusal('request', why),
};

/** Serves the connection as SOCKS5. `flow`: id that all its records share; `first`: what has come, in the shared buffer. */
export function serveSocks(deps: SocksDeps, link: ClientLink, flow: string, first: Buffer): void {
  const front = new SocksFront(deps, link, flow);
  link.user = front;
  front.onBytes(first);
}

class SocksFront implements LinkUser {
  readonly #deps: SocksDeps;
  readonly #link: ClientLink;
  readonly #record: FlowRecord;
  readonly #reader = new SocksReader();
  /** monotonic milliseconds */
  readonly #deadline: number;
  #credential = NO_CREDENTIAL;
  /** refused, or handed over */
  #over = false;

  constructor(deps: SocksDeps, link: ClientLink, flow: string) {
    this.#deps = deps;
    this.#link = link;
    this.#deadline = deps.clock.mono() + HANDSHAKE_MS;
    this.#record = deps.newRecord({ flow, client: link.address, via: 'socks5' });
  }

  onBytes(bytes: Buffer): boolean {
    this.#reader.push(bytes);
    while (!this.#over) {
      const event = this.#reader.read();
      if (event.kind === 'more') break;
      this.#on(event);
    }
    return true;
  }

  onEnd(): void {
    this.#refuse(denied('bad_request', 'The SOCKS5 handshake broke off.'));
  }

  onDrain(): void {}

  onClose(): void {
    if (this.#over) return;
    this.#over = true;
    this.#describe();
    this.#record.end({ status: 0, ended: 'client_abort' });
  }

  tick(now: number): void {
    if (now >= this.#deadline)
      this.#refuse(denied('client_timeout', 'The SOCKS5 handshake came too slowly.'));
  }

  #on(event: Exclude<SocksEvent, { kind: 'more' }>): void {
    switch (event.kind) {
      case 'greeting':
        if (event.method === 0xff) {
          const words = 'SOCKS5 without a method that is served: none, or user and password.';
          return this.#refuse(denied('bad_request', words), socks5Method(0xff));
        }
        this.#link.socket.write(socks5Method(event.method));
        return undefined;
      case 'login':
        return this.#login(event.password);
      case 'request':
        return this.#request(event);
      case 'bad':
        return this.#refuse(event.why, event.code === undefined ? undefined : socks5Reply(event.code));
    }
  }

  /** Whether anybody can be let in at all is told in reply to the request: a failed login would send for another token. */
  #login(password: string): void {
    this.#credential = this.#deps.credentialOfPassword(password);
    const asker = askerOf(this.#deps, this.#link.address, this.#credential);
    if (!('kind' in asker)) {
      this.#record.policy = asker.snapshot.set.hash;
      if ('kind' in asker.identity) return this.#refuse(asker.identity, socks5Login(false));
      this.#record.identity = asker.identity;
    }
    this.#link.socket.write(socks5Login(true));
    return undefined;
  }

  #request(ask: Extract<SocksEvent, { kind: 'request' }>): void {
    const { at, command } = ask;
    this.#record.method = COMMAND_NAMES[command];
    if (this.#deps.holdsKey(ask.host)) {
      return this.#refuse(
        denied('secret_leak', 'The request holds a real key. Send the placeholder instead.'),
      );
    }
    if ('reason' in at) return this.#refuse(at);
    this.#record.at = at;
    if (command !== 'connect') {
      const why = denied('method_refused', 'Of SOCKS5, CONNECT alone is served.');
      return this.#refuse(why, socks5Reply(COMMAND_NOT_SUPPORTED));
    }
    const asker = askerOf(this.#deps, this.#link.address, this.#credential);
    if ('kind' in asker) return this.#refuse(asker);
    this.#record.policy = asker.snapshot.set.hash;
    if ('kind' in asker.identity) return this.#refuse(asker.identity);
    this.#over = true;
    this.#record.identity = asker.identity;
    return openConnect(this.#deps, {
      link: this.#link,
      record: this.#record,
      answers: SOCKS_ANSWERS,
      identity: asker.identity,
      target: { ...at, via: 'socks5' },
      early: ask.rest,
      clientEnded: false,
    });
  }

  #describe(): void {
    if (this.#record.identity === null) this.#deps.describe(this.#link.address, this.#record);
  }

  #refuse(why: Denied, bytes = socks5Refusal(this.#reader.phase, why)): void {
    if (this.#over) return;
    this.#over = true;
    const { status } = REASONS[why.reason];
    // A credential that is not good says more than the address that it came from.
    if (status !== 407) this.#describe();
    this.#record.deny(why);
    const ended = why.reason === 'client_timeout' ? 'timeout' : 'refused';
    this.#record.end({ status, ended, reason: why.reason, bytesDown: bytes.length });
    this.#link.finishWith(bytes);
  }
}
