/** A client that asks and asks and never reads: the proxy holds a bounded amount of answers and stops reading. */
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readAnswers } from '../helpers/answers.ts';
import { policy } from '../helpers/scene.ts';
import { open } from '../helpers/talk.ts';
import { eventually, makeWorld, type World } from '../helpers/world.ts';

const MOST_QUEUED_BYTES = 2 * 1024 * 1024;
const STALLED_MS = 300;
const PADDING = 'p'.repeat(4_000);
/** As long as a policy may say it. */
const REASON = 'r'.repeat(300);
/** Requests that go out in one write. */
const BATCH = 100;

type Flood = {
  readonly name: string;
  readonly count: number;
  readonly request: (index: number) => string;
  /** what the answer to it must hold */
  readonly status: number;
  readonly holds: (index: number) => string;
};

const refusedRequest = (index: number): string =>
  `GET http://n${index}.test/ HTTP/1.1\r\nHost: n${index}.test\r\n\r\n`;

const FLOODS: readonly Flood[] = [
  {
    name: 'the bundle of certificates',
    // An answer is fifty times as long; the padding keeps all of them from coming in one read.
    count: 100,
    request: () => `GET /bundle.pem HTTP/1.1\r\nHost: sallyport\r\nX-Padding: ${PADDING}\r\n\r\n`,
    status: 200,
    holds: () => 'BEGIN CERTIFICATE',
  },
  {
    name: 'what is refused',
    // Kernel buffers on loopback take in some ten megabytes of answers: each is made long by the rule's reason.
    count: 14_000,
    request: refusedRequest,
    status: 403,
    holds: (index) => `n${index}.test`,
  },
];

describe('answers that nobody reads', () => {
  let world: World;
  beforeEach(async () => {
    world = await makeWorld({ policies: { 'agents.yaml': policy([`deny: "*", reason: ${REASON}`]) } });
  });
  afterEach(() => world.stop());

  const queued = (): number =>
    [...world.proxy.parts.live.links()].reduce((sum, link) => sum + link.socket.writableLength, 0);
  const heard = (): number =>
    [...world.proxy.parts.live.links()].reduce((sum, link) => sum + link.socket.bytesRead, 0);

  it.each(FLOODS)('$name: reading stops, and goes on when they are read', async (flood) => {
    const client = await open(world.port);
    client.socket.removeAllListeners('data');
    client.socket.pause();
    let sent = 0;
    const sending = (async () => {
      for (let from = 0; from < flood.count && !client.socket.destroyed; from += BATCH) {
        const text = Array.from({ length: BATCH }, (_, n) => flood.request(from + n)).join('');
        sent += text.length;
        if (!client.socket.write(text)) await once(client.socket, 'drain').catch(() => {});
      }
    })();
    let most = 0;
    let last = 0;
    let since = Date.now();
    await eventually(() => {
      most = Math.max(most, queued());
      const now = heard();
      if (now !== last) since = Date.now();
      last = now;
      return most > MOST_QUEUED_BYTES || (now > 0 && Date.now() - since > STALLED_MS);
    }, 15_000);
    expect(most).toBeLessThan(MOST_QUEUED_BYTES);
    expect(heard()).toBeLessThan(sent);
    const answers = readAnswers(client.socket);
    await eventually(() => answers.list.length === flood.count || answers.over() !== null, 25_000);
    await sending;
    expect(answers.list.length).toBe(flood.count);
    const wrong = answers.list.findIndex(
      ({ status, body }, index) => status !== flood.status || !body.includes(flood.holds(index)),
    );
    expect(wrong).toBe(-1);
    client.destroy();
    await eventually(() => world.proxy.parts.live.connections === 0);
  });
});
