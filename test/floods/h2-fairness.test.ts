/**
 * One group floods over HTTP/2 while another works over both protocols: each request of the other passes, about as
 * fast as before, the loop is never blocked for long, the flooding connections are told to calm down and are recorded
 * within bounds, and nothing of them stays. Measured as in `fairness.test.ts`.
 */
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectH2, type H2Upstream, h2Upstream } from '../helpers/h2.ts';
import { intercepted, metric, policy, records } from '../helpers/scene.ts';
import { connectTls } from '../helpers/talk.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, type World } from '../helpers/world.ts';
import type { H2FloodName } from './h2-flood-worker.ts';

/** `calmed`: the connection ends with an error; else what it does is within its rights, and only costs itself. */
const FLOODS: readonly (readonly [H2FloodName, boolean])[] = [
  ['rapid resets', true],
  ['streams that must be reset', true],
  ['PING', true],
  ['SETTINGS', true],
  ['CONTINUATION', true],
  ['header bombs', true],
  ['a hundred slow bodies', false],
  ['tiny DATA', false],
];
const REQUESTS = 80;
const WARM_UP = 15;
/** Below it twice a quiet value is within what a busy machine adds. */
const FLOOR_MS = 100;
const MAX_BLOCK_MS = 200;
const MAX_KEPT_BYTES = 48 * 1024 * 1024;
/** Records that one connection of a flood may leave: each stream that was judged, and its end. */
const MAX_RECORDS = 600;

setFlagsFromString('--expose-gc');
const heap = (): number => {
  runInNewContext('gc()');
  return process.memoryUsage().heapUsed + process.memoryUsage().external;
};

let web: Upstream;
let world: World;
let sink: H2Upstream;
let at = '';
let floodAt = '';

beforeAll(async () => {
  web = await httpUpstream({ name: 'web.test' });
  at = `web.test:${web.port}`;
  // It takes what it gets: the proxy is measured, not a server in the same process.
  sink = await h2Upstream('flood.test', (stream) => void stream.resume());
  floodAt = `flood.test:${sink.port}`;
});
afterAll(async () => {
  await web.close();
  await sink.close();
});

const makeFloodWorld = (): Promise<World> =>
  makeWorld({
    policies: {
      'quiet.yaml': policy([intercepted(at)], { group: 'quiet', sources: '127.0.0.1/32' }),
      'flood.yaml': policy([intercepted(floodAt)], { group: 'flood', sources: '127.0.0.9/32' }),
    },
    hosts: { 'web.test': ['127.0.0.1'], 'flood.test': ['127.0.0.1'] },
  });

/** Ninety-ninth percentile of the times of requests, over either protocol in turn; milliseconds. */
async function work(): Promise<number> {
  const h1 = await connectTls(world.port, at, { ca: world.caPem });
  const h2 = await connectH2(world.port, at, { ca: world.caPem });
  const times: number[] = [];
  for (let n = 0; n < REQUESTS; n += 1) {
    for (const ask of [
      () => h1.ask(`GET /${n} HTTP/1.1\r\nHost: ${at}\r\n\r\n`),
      () => h2.ask(`POST /${n}`, {}, 'some'),
    ]) {
      const from = performance.now();
      expect((await ask()).status).toBe(200);
      if (n >= WARM_UP) times.push(performance.now() - from);
    }
  }
  h1.destroy();
  h2.close();
  times.sort((a, b) => a - b);
  return times[Math.floor(times.length * 0.99)] ?? Number.POSITIVE_INFINITY;
}

describe('while a group floods over HTTP/2 with', () => {
  it.each(FLOODS)('%s, the other works on', { retry: 4, timeout: 30_000 }, async (name, calmed) => {
    world = await makeFloodWorld();
    const delay = monitorEventLoopDelay({ resolution: 10 });
    const codes: number[] = [];
    let flood: Worker | null = null;
    try {
      let quiet = await work();
      const before = heap();
      const argv = [name, world.port, floodAt, world.caPem];
      flood = new Worker(new URL('./h2-flood-worker.ts', import.meta.url), { argv });
      flood.on('message', (code: number) => void codes.push(code));
      await eventually(() => world.proxy.parts.seats.openOf('flood') > 0);
      if (calmed) await eventually(() => codes.some((code) => code !== 0));
      delay.enable();
      const flooded = await work();
      delay.disable();
      await flood.terminate();
      await eventually(() => world.proxy.parts.live.connections === 0);
      // What the machine does beside this is measured on both sides of the flood.
      quiet = Math.max(quiet, await work());
      expect(flooded).toBeLessThan(Math.max(2 * quiet, FLOOR_MS));
      expect(delay.max / 1e6).toBeLessThan(MAX_BLOCK_MS);
      expect(await metric(world, 'sallyport_audit_failures_total')).toBe(0);
      await eventually(() => world.proxy.parts.live.connections === 0);
      await eventually(() => world.proxy.parts.pool.stats().busy === 0);
      expect(heap() - before).toBeLessThan(MAX_KEPT_BYTES);

      const all = await eventually(async () => {
        const decided = await records(world, { kind: 'decision', group: 'flood' });
        const ended = await records(world, { kind: 'end', group: 'flood' });
        return decided.length === ended.length ? ended : null;
      });
      const connections = all.filter((one) => one['stage'] === 'connect').length;
      expect(all.length).toBeLessThan((connections + 1) * MAX_RECORDS);
      // Faults of connections themselves: one each, however many frames.
      const faults = all.filter((one) => one['reason'] === 'bad_request' && one['path'] === null);
      if (!calmed) expect([faults.length, codes.filter((code) => code !== 0)]).toEqual([0, []]);
      else if (name !== 'header bombs') expect(faults.length).toBeGreaterThan(0);
    } finally {
      await flood?.terminate();
      await world.stop();
    }
  });
});
