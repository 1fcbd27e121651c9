/**
 * The HTTP/2 half of the upstream (`up.c` has the rest): /N answers N bytes, 401 unless Authorization is right.
 * Run as `up-h2.ts PORT cert.pem key.pem "Bearer REALKEY"`, on 127.0.0.1. Only the proxy's processor time is
 * compared, so that its own does not matter.
 */
import { readFileSync } from 'node:fs';
import { createSecureServer } from 'node:http2';

const MAX_BODY_BYTES = 1 << 20;

const [port, cert = '', key = '', wanted] = process.argv.slice(2);
const bytes = Buffer.alloc(MAX_BODY_BYTES, 'a');
const server = createSecureServer({
  cert: readFileSync(cert),
  key: readFileSync(key),
  settings: { maxConcurrentStreams: 1000 },
});
server.on('stream', (stream, headers) => {
  const allowed = headers.authorization === wanted;
  const length = allowed ? Math.min(Number(headers[':path']?.slice(1)), MAX_BODY_BYTES) : 0;
  stream.on('error', () => stream.destroy());
  stream.respond({
    ':status': allowed ? 200 : 401,
    'content-type': 'application/json',
    'content-length': String(length),
    'x-request-id': 'req_0123456789abcdef',
    'cache-control': 'no-store',
  });
  stream.end(bytes.subarray(0, length));
});
server.listen(Number(port), '127.0.0.1');
