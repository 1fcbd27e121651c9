/** A worker's seat, with real processes that are told how to behave. */
import { fork } from 'node:child_process';
import { PassThrough } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import { createLog } from '../../../src/base/log.ts';
import type { Begin } from '../../../src/supervise/messages.ts';
import { Seat } from '../../../src/supervise/seat.ts';
import { eventually } from '../../helpers/world.ts';

const WORKER = fileURLToPath(new URL('seat-worker.ts', import.meta.url));

describe('a seat', () => {
  let seat: Seat;
  let ready = 0;

  afterEach(async () => {
    seat.stop(true);
    seat.kill();
    await seat.over;
  });
  const seated = async (behaviour: readonly string[]): Promise<Seat> => {
    ready = 0;
    let forks = 0;
    const begin = { kind: 'begin', worker: 1, workers: 1 } as Begin;
    seat = new Seat({
      worker: 1,
      fork: () => {
        forks += 1;
        const how = behaviour[forks - 1] ?? 'answers';
        if (how === 'no memory') throw Object.assign(new Error('spawn ENOMEM'), { code: 'ENOMEM' });
        return fork(WORKER, [how], {
          serialization: 'advanced',
          stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
        });
      },
      begin: () => begin,
      log: createLog({ stream: new PassThrough() }),
      clock: systemClock,
      onDesk: () => {},
      onMinted: () => {},
      onReady: () => {
        ready += 1;
      },
      onCounted: () => {},
      onGone: () => {},
      lookEveryMs: 1_000,
    });
    await seat.start();
    return seat;
  };

  it('replaces a process that hangs as it does a dead one', async () => {
    const { pid } = await seated(['mute']);
    await eventually(() => ready === 2, 20_000);
    expect(seat.pid).not.toBe(pid);
    expect(seat.restarts).toBe(1);
    expect(await seat.report()).not.toBeNull();
  });

  it('tries again where the system has no room for another process', async () => {
    await seated(['answers', 'no memory']);
    seat.kill();
    await eventually(() => ready === 2, 20_000);
    expect(seat.restarts).toBe(2);
  });
});
