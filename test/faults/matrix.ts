/**
 * The fault matrix: every fault of an upstream at every phase, crossed with what a client may do meanwhile. The client
 * gets the answer of the contract or a connection that is seen to be broken, the record ends once and says why, and
 * nothing is left. Which transports are played is up to the test files.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { policy } from '../helpers/scene.ts';
import { eventually, makeWorld, movableClock, type World } from '../helpers/world.ts';
import { actsByItself, type Expected, expected, leavesFirst } from './expected.ts';
import type { ClientMove, Speaker, Transport } from './transports.ts';
import { type Act, type Actor, startActor } from './upstream-acts.ts';

type Cell = {
  readonly name: string;
  readonly title: string;
  readonly transport: Transport;
  readonly act: Act;
  readonly move: ClientMove;
  readonly half: boolean;
  readonly wanted: Expected;
};

function cellsOf(transport: Transport, act: Act, number: number): Cell[] {
  return transport.moves(act).flatMap((move, turn) =>
    [false, true].map((half) => ({
      name: `c${number}-${turn}-${half ? 1 : 0}.${transport.zone}.test`,
      title: `${half ? 'half a request' : 'a request'}, the client ${move}`,
      transport,
      act,
      move,
      half,
      wanted: expected(transport, act, move, half),
    })),
  );
}

setFlagsFromString('--expose-gc');
const collect = (): void => void runInNewContext('gc()');

export function playMatrix(title: string, transports: readonly Transport[]): void {
  describe(title, () => play(transports));
}

function play(transports: readonly Transport[]): void {
  const groups = transports.flatMap((transport) =>
    transport.acts.map((act, number) => ({ transport, act, cells: cellsOf(transport, act, number) })),
  );
  const clock = movableClock();
  const actors = new Map<string, Actor>();
  let world: World;
  let heapBefore = 0;

  beforeAll(async () => {
    const cells = groups.flatMap((group) => group.cells);
    // A port that is free again could be the next server's.
    const refusingLast = cells.toSorted(
      (a, b) => Number(a.act.fault === 'refuse') - Number(b.act.fault === 'refuse'),
    );
    for (const cell of refusingLast)
      actors.set(cell.name, await startActor(cell.act, cell.name, cell.transport.secure));
    world = await makeWorld({
      policies: { 'agents.yaml': policy(cells.map((cell) => cell.transport.rule(at(cell)))) },
      hosts: Object.fromEntries(cells.map((cell) => [cell.name, ['127.0.0.1']])),
      clock,
    });
    collect();
    heapBefore = process.memoryUsage().heapUsed;
  });
  afterAll(async () => {
    await world.stop();
    await Promise.all([...actors.values()].map((actor) => actor.close()));
  });

  const actorOf = (cell: Cell): Actor => {
    const actor = actors.get(cell.name);
    if (actor === undefined) throw new Error(cell.name);
    return actor;
  };
  const at = (cell: Cell): string => `${cell.name}:${actorOf(cell).port}`;

  let read: { at: number; all: Promise<Record<string, unknown>[]> } | null = null;
  /** One reading serves all cells for a moment. */
  const audit = (): Promise<Record<string, unknown>[]> => {
    if (read === null || Date.now() - read.at > 20) read = { at: Date.now(), all: world.audit() };
    return read.all;
  };
  const recordsOf = async (cell: Cell, kind: string): Promise<Record<string, unknown>[]> =>
    (await audit()).filter((one) => one['host'] === cell.name && one['kind'] === kind);
  /** The end that the matrix is about: of the request, or of the tunnel. */
  const endsOf = async (cell: Cell): Promise<string[]> => {
    const stage = cell.transport.requests > 0 ? 'request' : 'connect';
    const ends = (await recordsOf(cell, 'end')).filter((one) => one['stage'] === stage);
    return ends.map((one) =>
      [one['ended'], one['reason']].filter((word) => typeof word === 'string').join(' '),
    );
  };

  /** Client and upstream come to their phase; the client moves first, then the upstream. */
  const perform = async (cell: Cell): Promise<Speaker> => {
    const actor = actorOf(cell);
    const speaker = await cell.transport.begin(world, at(cell), cell.half);
    await actor.ready;
    const answered = cell.act.phase === 'mid body' || cell.act.phase === 'after body';
    const last = cell.act.says?.slice(-5) ?? '';
    if (answered && last.length > 0) {
      await eventually(() =>
        cell.act.phase === 'after body' ? speaker.seen().whole : speaker.seen().text.includes('hello'),
      );
    }
    // A client that was gone before it was accepted has no address to be known by.
    if (cell.act.fault === 'refuse')
      await eventually(async () => (await recordsOf(cell, 'decision')).length > 0);
    speaker.move(cell.move);
    if (leavesFirst(cell.transport, cell.move, cell.half) && !actsByItself(cell.act))
      await eventually(async () => (await endsOf(cell)).length > 0);
    actor.act();
    return speaker;
  };

  const check = (cell: Cell, speaker: Speaker): void => {
    const { wanted, title } = cell;
    if (wanted.status === null) return;
    const seen = speaker.seen();
    expect(seen.status, title).toBe(wanted.status);
    expect(seen.whole, title).toBe(!wanted.broken);
    if (wanted.broken) expect(seen.ended, title).toBe('reset');
    if (wanted.status < 400) return;
    expect(wanted.ends.map((end) => end.split(' ')[1])).toContain(/"reason":"(\w+)"/.exec(seen.text)?.[1]);
  };

  const playAll = async (cells: readonly Cell[]): Promise<void> => {
    const speakers = await Promise.all(cells.map(perform));
    try {
      await judge(cells, speakers);
    } finally {
      for (const speaker of speakers) speaker.destroy();
    }
    await leaveNothing(cells);
  };

  const judge = async (cells: readonly Cell[], speakers: readonly Speaker[]): Promise<void> => {
    const settled = async (cell: Cell): Promise<void> => {
      await eventually(async () => (await endsOf(cell)).length > 0).catch(() => {
        throw new Error(`no end of ${cell.title}`);
      });
    };
    for (const cell of cells) if (!cell.wanted.needsClock) await settled(cell);
    if (cells.some((cell) => cell.wanted.needsClock)) {
      // A look before the jump: what a receiver took since the last one would count as taken after it.
      world.proxy.parts.live.tick(clock.mono());
      clock.advance(11 * 60_000);
      world.proxy.parts.live.tick(clock.mono());
    }
    for (const cell of cells) await settled(cell);
    for (const [index, cell] of cells.entries()) {
      const speaker = speakers[index];
      if (speaker === undefined) throw new Error('no speaker');
      expect(cell.wanted.ends, cell.title).toContain((await endsOf(cell)).join(', '));
      if (cell.wanted.status !== null) {
        await eventually(() => speaker.seen().whole || speaker.seen().ended !== 'open').catch(() => {});
        check(cell, speaker);
      }
    }
  };

  const leaveNothing = async (cells: readonly Cell[]): Promise<void> => {
    await eventually(() => world.proxy.parts.live.connections === 0).catch(() => {
      throw new Error(
        world.proxy.parts.live
          .connectionsOpen()
          .map((flow) => JSON.stringify(flow.target))
          .join(),
      );
    });
    for (const cell of cells) {
      for (const kind of ['decision', 'end']) {
        const ids = await eventually(async () => {
          const found = (await recordsOf(cell, kind)).map((one) => one['request_id']);
          return found.length >= 1 + cell.transport.requests ? found : null;
        });
        expect(new Set(ids).size, `${kind} of ${cell.title}`).toBe(1 + cell.transport.requests);
        expect(ids, `${kind} of ${cell.title}`).toHaveLength(1 + cell.transport.requests);
      }
    }
    expect(world.proxy.parts.live.connectionsOpen()).toEqual([]);
    expect(world.proxy.parts.pool.stats().busy).toBe(0);
    expect(world.proxy.parts.scratch.waitingBytes).toBe(0);
  };

  it.each(groups.map((group) => [`${group.transport.name}: ${group.act.name}`, group.cells] as const))(
    'an upstream of %s',
    async (_title, cells) => playAll(cells),
  );

  it('leave no connection, no exception and no memory behind', async () => {
    clock.advance(60_000);
    world.proxy.parts.pool.retire('none');
    // HTTP/2 says good-bye first; an upstream that does not is swept away within 7.5 s.
    await eventually(() => world.proxy.parts.pool.stats().idle === 0, 15_000);
    expect(world.proxy.parts.pool.stats().busy).toBe(0);
    await eventually(() => [...actors.values()].every((actor) => actor.gone()));
    expect(world.log()).not.toMatch(/exception/);
    const timers = process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
    expect(timers).toBeLessThan(20);
    collect();
    expect(process.memoryUsage().heapUsed - heapBefore).toBeLessThan(24 * 1024 * 1024);
  });
}
