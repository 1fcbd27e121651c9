/**
 * A name server on 127.0.0.1 with a script per name: real UDP and TCP packets, and every misbehaviour that
 * a resolver must survive. Queries are counted per name and type, so that a list of scripts gives
 * another answer each time (rebinding); the last one repeats.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { type Answer, decode, encode } from 'dns-packet';

export type StubScript = {
  readonly a?: readonly string[];
  readonly aaaa?: readonly string[];
  /** chain that leads to the addresses, e.g. `['edge.cdn.test']` */
  readonly cname?: readonly string[];
  /** seconds */
  readonly ttl?: number;
  readonly rcode?: 'NXDOMAIN' | 'SERVFAIL' | 'REFUSED';
  readonly delayMs?: number;
  /** never answers; a type alone means only that one */
  readonly silent?: boolean | 'A' | 'AAAA';
  /** over UDP only: TC set and no records */
  readonly truncate?: boolean;
  /** a packet sent before the true one, with 127.6.6.6 in it */
  readonly forge?: 'id' | 'question' | 'query' | 'garbage';
  /** a loop: the name is an alias of itself by way of another */
  readonly loop?: boolean;
  /** neither AA nor RA, no records */
  readonly lame?: boolean;
};

type StubQuery = { readonly name: string; readonly type: string; readonly via: 'udp' | 'tcp' };

export type DnsStub = {
  /** `127.0.0.1:PORT` for `dns.servers` */
  readonly address: string;
  readonly queries: readonly StubQuery[];
  set(name: string, script: StubScript | readonly StubScript[]): void;
  close(): Promise<void>;
};

const RCODES = { NXDOMAIN: 3, SERVFAIL: 2, REFUSED: 5 };
const FORGED = '127.6.6.6';

export async function startDnsStub(
  zone: Readonly<Record<string, StubScript | readonly StubScript[]>> = {},
): Promise<DnsStub> {
  const scripts = new Map<string, readonly StubScript[]>();
  const seen = new Map<string, number>();
  const queries: StubQuery[] = [];
  const timers = new Set<NodeJS.Timeout>();
  const clients = new Set<Socket>();

  const set: DnsStub['set'] = (name, script) => {
    scripts.set(name, isList(script) ? script : [script]);
  };
  for (const [name, script] of Object.entries(zone)) set(name, script);

  const serve = (bytes: Buffer, via: 'udp' | 'tcp', send: (reply: Buffer) => void): void => {
    const question = decode(bytes).questions?.[0];
    if (question === undefined) return;
    queries.push({ name: question.name, type: question.type, via });
    const list = scripts.get(question.name) ?? [{ rcode: 'NXDOMAIN' as const }];
    const count = seen.get(`${question.name} ${question.type}`) ?? 0;
    seen.set(`${question.name} ${question.type}`, count + 1);
    const script = list[Math.min(count, list.length - 1)] ?? {};
    if (script.silent === true || script.silent === question.type) return;
    const timer = setTimeout(() => {
      timers.delete(timer);
      if (script.forge !== undefined) send(forged(bytes, script.forge));
      send(replyTo(bytes, script, via));
    }, script.delayMs ?? 0);
    timers.add(timer);
  };

  const { udp, tcp, port } = await bindBoth();
  udp.on('message', (bytes, from) => {
    serve(bytes, 'udp', (reply) => udp.send(reply, from.port, from.address));
  });
  tcp.on('connection', (socket) => {
    clients.add(socket);
    socket.on('close', () => clients.delete(socket));
    socket.on('error', () => socket.destroy());
    let held = Buffer.alloc(0);
    socket.on('data', (bytes) => {
      held = Buffer.concat([held, bytes]);
      if (held.length < 2 || held.length < 2 + held.readUInt16BE(0)) return;
      serve(held.subarray(2), 'tcp', (reply) => {
        const length = Buffer.alloc(2);
        length.writeUInt16BE(reply.length);
        // Two writes: a reader must not count on one segment.
        socket.write(length);
        socket.write(reply);
      });
      held = Buffer.alloc(0);
    });
  });

  return {
    address: `127.0.0.1:${port}`,
    queries,
    set,
    async close() {
      for (const timer of timers) clearTimeout(timer);
      for (const client of clients) client.destroy();
      udp.close();
      tcp.close();
      await once(tcp, 'close');
    },
  };
}

/** The same free port for UDP and TCP. */
async function bindBoth() {
  for (let attempt = 0; ; attempt += 1) {
    const tcp = createServer();
    tcp.listen(0, '127.0.0.1');
    await once(tcp, 'listening');
    const at = tcp.address();
    const port = typeof at === 'object' && at !== null ? at.port : 0;
    const udp = createSocket('udp4');
    try {
      udp.bind(port, '127.0.0.1');
      await once(udp, 'listening');
      return { udp, tcp, port };
    } catch (error) {
      tcp.close();
      if (attempt === 5) throw error;
    }
  }
}

function replyTo(query: Buffer, script: StubScript, via: 'udp' | 'tcp'): Buffer {
  const { id, questions } = decode(query);
  const question = questions?.[0] ?? { name: '', type: 'A' as const };
  const truncated = script.truncate === true && via === 'udp';
  // AA 0x400, TC 0x200, RD 0x100, RA 0x80
  const flags =
    (script.lame === true ? 0x100 : 0x580) |
    (truncated ? 0x200 : 0) |
    (script.rcode === undefined ? 0 : RCODES[script.rcode]);
  const empty = truncated || script.lame === true || script.rcode !== undefined;
  const answers = empty ? [] : records(question.name, question.type, script);
  return encode({ type: 'response', id: id ?? 0, flags, questions: questions ?? [], answers });
}

function records(name: string, type: string, script: StubScript): Answer[] {
  const ttl = script.ttl ?? 60;
  if (script.loop === true) {
    return [
      { name, type: 'CNAME', ttl, data: `again.${name}` },
      { name: `again.${name}`, type: 'CNAME', ttl, data: name },
    ];
  }
  const answers: Answer[] = [];
  let owner = name;
  for (const next of script.cname ?? []) {
    answers.push({ name: owner, type: 'CNAME', ttl, data: next });
    owner = next;
  }
  if (type === 'A') for (const data of script.a ?? []) answers.push({ name: owner, type: 'A', ttl, data });
  if (type === 'AAAA')
    for (const data of script.aaaa ?? []) answers.push({ name: owner, type: 'AAAA', ttl, data });
  return answers;
}

function forged(query: Buffer, how: 'id' | 'question' | 'query' | 'garbage'): Buffer {
  const { id, questions } = decode(query);
  const question = questions?.[0] ?? { name: '', type: 'A' as const };
  if (how === 'garbage') return Buffer.from('this is no DNS message at all');
  const asked = how === 'question' ? { ...question, name: `other.${question.name}` } : question;
  return encode({
    type: how === 'query' ? 'query' : 'response',
    id: how === 'id' ? ((id ?? 0) + 1) % 0x10000 : (id ?? 0),
    flags: 0x580,
    questions: [asked],
    answers: [{ name: question.name, type: 'A', ttl: 60, data: FORGED }],
  });
}

function isList(script: StubScript | readonly StubScript[]): script is readonly StubScript[] {
  return Array.isArray(script);
}
