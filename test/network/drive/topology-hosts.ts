/**
 * The hosts around the sandboxes of `topology.ts`, as a process in a namespace of its own. `internet`: each public address
 * takes connections, serves HTTPS and answers DNS, one of them is the upstream. `resolver` and `listen`: what a hole needs. Ends with
 * its standard input.
 */
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import https from 'node:https';
import net from 'node:net';

/** Beside 443. */
const PORTS = [22, 53, 80, 853];

/** Bytes of an answer to any question: NOERROR with one A record. */
function answerTo(question: Buffer, address: string): Buffer {
  const head = Buffer.from(question.subarray(0, 12));
  head.writeUInt16BE(0x8180, 2);
  head.writeUInt16BE(1, 6);
  head.writeUInt32BE(0, 8);
  const end = question.indexOf(0, 12) + 5;
  const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...address.split('.').map(Number)]);
  return Buffer.concat([head, question.subarray(12, end), record]);
}

async function listening(server: net.Server, port: number, address: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen(port, address, resolve);
  await promise;
}

async function serveNames(at: string, answer: string): Promise<void> {
  const socket = createSocket(at.includes(':') ? 'udp6' : 'udp4');
  socket.on('message', (question, from) => {
    if (question.length > 16) socket.send(answerTo(question, answer), from.port, from.address);
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  socket.once('error', reject);
  socket.bind(53, at, resolve);
  await promise;
}

async function internet(web: string, pair: string, others: readonly string[]): Promise<void> {
  const pem = readFileSync(pair, 'utf8');
  const api = https.createServer({ cert: pem, key: pem }, (request, response) =>
    response.end(`${request.method} ${request.url} ${request.headers.authorization ?? '-'}\n`),
  );
  await listening(api, 443, web);
  for (const address of others) {
    const site = https.createServer({ cert: pem, key: pem }, (_request, response) =>
      response.end('outside\n'),
    );
    await listening(site, 443, address);
    for (const port of PORTS) {
      const server = net.createServer((socket) => {
        socket.on('error', () => socket.destroy());
        socket.end();
      });
      await listening(server, port, address);
    }
    await serveNames(address, web);
  }
}

const [kind = '', ...args] = process.argv.slice(2);
if (kind === 'internet') await internet(args[0] ?? '', args[1] ?? '', args.slice(2));
else if (kind === 'resolver') await serveNames(args[0] ?? '', args[1] ?? '');
else
  await listening(
    net.createServer((socket) => socket.end()),
    Number(args[1]),
    args[0] ?? '',
  );
process.stdout.write('ready\n');
process.stdin.on('end', () => process.exit(0)).resume();
