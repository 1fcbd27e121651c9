/* oxlint-disable typescript/no-unsafe-argument, typescript/no-unsafe-assignment, typescript/no-unsafe-call, typescript/no-unsafe-member-access, typescript/no-unsafe-return -- the types of peers are there only after an install in bench/ */
// mockttp passing everything through to the bench upstream with the key swapped.
import { readFileSync } from 'node:fs';
import { getLocal } from 'mockttp';

const env = process.env;
const ca = readFileSync(env.BENCH_CA, 'utf8');
const server = getLocal({
  https: { cert: ca, key: readFileSync(env.BENCH_CA_KEY, 'utf8') },
  recordTraffic: false,
  http2: true,
});
const additionalTrustedCAs = [{ cert: ca }];
await server.forAnyRequest().thenPassThrough({
  additionalTrustedCAs,
  transformRequest: { updateHeaders: { authorization: `Bearer ${env.BENCH_SECRET}` } },
});
await server.forAnyWebSocket().thenPassThrough({ additionalTrustedCAs });
await server.start(Number(env.BENCH_PORT));
