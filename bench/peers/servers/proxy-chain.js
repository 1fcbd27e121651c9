/* oxlint-disable typescript/no-unsafe-argument, typescript/no-unsafe-assignment, typescript/no-unsafe-call, typescript/no-unsafe-member-access, typescript/no-unsafe-return -- the types of peers are there only after an install in bench/ */
// proxy-chain as a CONNECT proxy; with BENCH_PATH=intercept its `customConnectServer` ends TLS and an HTTPS
// client with a keep-alive pool sends on, the key swapped: the shortest interception it allows.
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import tls from 'node:tls';
import { Server } from 'proxy-chain';

const env = process.env;
const agent = new https.Agent({ keepAlive: true, ca: readFileSync(env.BENCH_CA), maxSockets: 512 });

const inner = http.createServer((request, response) => {
  const headers = { ...request.headers, authorization: `Bearer ${env.BENCH_SECRET}` };
  const options = { host: '127.0.0.1', port: env.BENCH_UPSTREAM, path: request.url, method: request.method };
  const onward = https.request({ ...options, servername: 'bench.test', headers, agent }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  onward.on('error', () => response.destroy());
  request.pipe(onward);
});
inner.keepAliveTimeout = 600_000;

const secureContext = tls.createSecureContext({
  cert: readFileSync(env.BENCH_CERT),
  key: readFileSync(env.BENCH_KEY),
});
const terminator = {
  emit(_event, socket) {
    const inside = new tls.TLSSocket(socket, { isServer: true, secureContext });
    inside.on('error', () => socket.destroy());
    inner.emit('connection', inside);
  },
};

const intercept = env.BENCH_PATH === 'intercept';
const server = new Server({
  host: '127.0.0.1',
  port: Number(env.BENCH_PORT),
  prepareRequestFunction: () => (intercept ? { customConnectServer: terminator } : {}),
});
await server.listen();
