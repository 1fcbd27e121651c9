/**
 * The name server of sandboxes (contract section 2, `transparent.dns`): names that some rule of the asker's group
 * could allow are at our own address, where the transparent listeners wait; no other name exists. Nothing is ever
 * asked of another server here, so a name tells nobody anything (the channel that DNS usually is). UDP and TCP
 * (RFC 7766); a refused name is recorded, the same one at most every ten seconds.
 */
import dgram from 'node:dgram';
import { once } from 'node:events';
import net from 'node:net';
import { LRUCache } from 'lru-cache';
import type { FlowRecord } from '../audit/flow-record.ts';
import type { Clock } from '../base/clock.ts';
import type { Snapshot } from '../config/snapshot.ts';
import { type Credential, type Identity, NO_CREDENTIAL } from '../flow/identity.ts';
import { type Denied, isDenied, REASONS } from '../flow/reason.ts';
import type { Authority, Via } from '../flow/target.ts';
import type { Verdict } from '../flow/verdict.ts';
import { parseAuthority } from '../wire/authority.ts';
import {
  type DnsAnswer,
  type DnsQuestion,
  encodeAnswer,
  encodeProblem,
  readQuestion,
} from './dns-message.ts';

export type DnsOutcome = 'address' | 'nodata' | 'nxdomain' | 'refused' | 'malformed' | 'dropped';

export type DnsDeps = {
  readonly clock: Clock;
  readonly newId: () => string;
  readonly snapshot: () => Snapshot | null;
  readonly identify: (
    ask: { address: string; credential: Credential },
    snapshot: Snapshot,
  ) => Identity | Denied;
  /** may the group know the name (`policy/names.ts`) */
  readonly decideName: (snapshot: Snapshot, group: string, name: Authority) => Verdict;
  /** does a text hold a real key, current or revoked */
  readonly holdsKey: (text: string) => boolean;
  readonly newRecord: (ask: { flow: string; client: string; via: Via }) => FlowRecord;
  readonly onAnswer: (outcome: DnsOutcome) => void;
  readonly onError: (error: unknown) => void;
  /** what allowed names are answered with, IPv4 or IPv6 */
  readonly address: string;
};

export type DnsServer = { readonly host: string; readonly port: number; close(): Promise<void> };

/** `shared`: with other processes of this program. */
type At = { readonly host: string; readonly port: number; readonly shared?: boolean };

const MAX_TCP_CLIENTS = 256;
/** So that one sandbox cannot have them all. */
const MAX_TCP_OF_ADDRESS = 16;
const TCP_IDLE_MS = 10_000;
const MAX_MESSAGE_BYTES = 4_096;
/** Port 0 lets the system choose, and the two protocols need the same one. */
const PORT_TRIES = 5;
/** Of one address, each second: what is beyond is not answered, so that no sandbox can keep the others waiting. */
const MAX_PER_SECOND = 500;
const RECORD_EVERY_MS = 10_000;
const MAX_REMEMBERED = 10_000;
const DNS_PORT = 53;

/** Listens on UDP and TCP; rejects when the address cannot be had. */
export async function startDns(deps: DnsDeps, at: At): Promise<DnsServer> {
  const answers = new Answers(deps);
  const tcp = tcpServer(answers);
  const { udp, port } = await bindBoth(tcp, at);
  udp.on('message', (bytes, from) => {
    const reply = answers.to(bytes, from.address);
    // Port 0 is nobody's: `send` would throw. A client that is gone makes an error in the callback: nobody is to be told.
    if (reply !== null && from.port > 0) udp.send(reply, from.port, from.address, () => {});
  });
  udp.on('error', deps.onError);
  tcp.on('error', deps.onError);
  return {
    host: at.host,
    port,
    async close() {
      udp.close();
      tcp.close();
      tcp.emit('farewell');
      await once(tcp, 'close');
    },
  };
}

async function bindBoth(tcp: net.Server, at: At): Promise<{ udp: dgram.Socket; port: number }> {
  for (let attempt = 1; ; attempt += 1) {
    const reusePort = at.shared === true;
    const udp = dgram.createSocket({ type: at.host.includes(':') ? 'udp6' : 'udp4', reusePort });
    udp.bind({ address: at.host, port: at.port });
    await once(udp, 'listening');
    const { port } = udp.address();
    try {
      tcp.listen({ host: at.host, port, reusePort });
      await once(tcp, 'listening');
      return { udp, port };
    } catch (error) {
      udp.close();
      if (at.port !== 0 || attempt === PORT_TRIES) throw error;
    }
  }
}

/** One answer a message, messages behind a length of two bytes; one that is not whole in time ends the connection. */
function tcpServer(answers: Answers): net.Server {
  const open = new Map<string, number>();
  const server = net.createServer((socket) => {
    let held = Buffer.alloc(0);
    const client = socket.remoteAddress ?? '';
    const others = open.get(client) ?? 0;
    open.set(client, others + 1);
    const farewell = (): void => void socket.destroy();
    server.once('farewell', farewell);
    socket.setTimeout(TCP_IDLE_MS, farewell);
    socket.on('error', farewell);
    socket.on('close', () => {
      server.off('farewell', farewell);
      const left = (open.get(client) ?? 1) - 1;
      if (left === 0) open.delete(client);
      else open.set(client, left);
    });
    if (others >= MAX_TCP_OF_ADDRESS) farewell();
    socket.on('data', (bytes: Buffer) => {
      held = Buffer.concat([held, bytes]);
      while (held.length >= 2 && held.length >= 2 + held.readUInt16BE(0)) {
        const length = held.readUInt16BE(0);
        const reply = answers.to(held.subarray(2, 2 + length), client);
        held = held.subarray(2 + length);
        if (reply === null || socket.writableLength > MAX_MESSAGE_BYTES) return void socket.destroy();
        const size = Buffer.alloc(2);
        size.writeUInt16BE(reply.length);
        socket.write(Buffer.concat([size, reply]));
      }
      if (held.length > MAX_MESSAGE_BYTES) socket.destroy();
      return undefined;
    });
  });
  server.maxConnections = MAX_TCP_CLIENTS;
  server.setMaxListeners(0);
  return server;
}

class Answers {
  readonly #deps: DnsDeps;
  /** group and name of refusals that were recorded a moment ago */
  readonly #recorded = new LRUCache<string, number>({ max: MAX_REMEMBERED });

  /** questions of each address in the second under way */
  readonly #asked = new LRUCache<string, number>({ max: MAX_REMEMBERED });
  #second = 0;

  constructor(deps: DnsDeps) {
    this.#deps = deps;
  }

  /** The bytes to send back; null: none. Never throws. */
  to(bytes: Buffer, client: string): Buffer | null {
    try {
      if (this.#tooMany(client)) {
        this.#deps.onAnswer('dropped');
        return null;
      }
      const asked = readQuestion(bytes);
      if (asked === null || 'rcode' in asked) {
        this.#deps.onAnswer('malformed');
        return asked === null ? null : encodeProblem(asked);
      }
      const answer = this.#judge(asked, client);
      this.#deps.onAnswer(typeof answer === 'string' ? answer : 'address');
      return encodeAnswer(asked, answer);
    } catch (error) {
      this.#deps.onError(error);
      return null;
    }
  }

  #tooMany(client: string): boolean {
    const second = Math.floor(this.#deps.clock.mono() / 1_000);
    if (second !== this.#second) this.#asked.clear();
    this.#second = second;
    const count = (this.#asked.get(client) ?? 0) + 1;
    this.#asked.set(client, count);
    return count > MAX_PER_SECOND;
  }

  #judge(asked: DnsQuestion, client: string): DnsAnswer {
    const { snapshot, identify, decideName, holdsKey, address } = this.#deps;
    const current = snapshot();
    if (current === null) return 'refused';
    const identity = identify({ address: client, credential: NO_CREDENTIAL }, current);
    if (isDenied(identity)) return 'refused';
    const at = authorityOf(asked.name);
    // A name that policy could not even be asked about is nobody's; a key in it is told to nobody.
    if (at === null || holdsKey(asked.name.toLowerCase()) || holdsKey(asked.name)) return 'nxdomain';
    const verdict = decideName(current, identity.group, at);
    if (verdict.kind === 'deny') {
      this.#record(client, { identity, at, why: verdict, policy: current.set.hash });
      // A name that is not told for now must not be remembered as one that does not exist.
      return verdict.reason === 'locked_down' ? 'refused' : 'nxdomain';
    }
    const wanted = address.includes(':') ? 'AAAA' : 'A';
    return asked.type === wanted ? { address } : 'nodata';
  }

  #record(client: string, of: { identity: Identity; at: Authority; why: Denied; policy: string }): void {
    const { clock, newId, newRecord } = this.#deps;
    const key = `${of.identity.id} ${of.at.host}`;
    const now = clock.mono();
    const before = this.#recorded.get(key);
    if (before !== undefined && now - before < RECORD_EVERY_MS) return;
    this.#recorded.set(key, now);
    const record = newRecord({ flow: newId(), client, via: 'transparent-dns' });
    record.identity = of.identity;
    record.at = of.at;
    record.policy = of.policy;
    record.deny(of.why);
    const { status } = REASONS[of.why.reason];
    record.end({ status, ended: 'refused', reason: of.why.reason });
  }
}

/** The name as policies know it, at the port of name servers; null: no name that anything could allow. */
function authorityOf(name: string): Authority | null {
  const plain = name.endsWith('.') ? name.slice(0, -1) : name;
  const at = parseAuthority(`${plain}:${DNS_PORT}`);
  return isDenied(at) || at.kind !== 'name' ? null : at;
}
