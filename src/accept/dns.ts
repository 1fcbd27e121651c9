/**
 * The sockets of the sandboxes' name server (contract section 2, `transparent.dns`): UDP, and TCP (RFC 7766), on one port.
 * `dns-answers.ts` says what is answered.
 */
import dgram from 'node:dgram';
import { once } from 'node:events';
import net from 'node:net';
import { Answers, type DnsDeps } from './dns-answers.ts';

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
