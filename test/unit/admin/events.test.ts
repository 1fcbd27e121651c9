/** Live events: told as they are written, resumed, and not to whoever does not read or may not any more. */
import { connect } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { MAX_LISTENERS } from '../../../src/admin/events.ts';
import { eventually } from '../../helpers/world.ts';
import { decision, operator, record } from '../audit/samples.ts';
import { adminWith, TOKEN } from './fakes.ts';

type Listening = {
  readonly text: () => string;
  readonly status: number;
  readonly over: () => boolean;
  readonly stop: () => void;
};

describe('events', () => {
  const start = async () => {
    const made = adminWith();
    const { port } = await made.admin.listen();
    const listen = async (headers: Record<string, string> = {}): Promise<Listening> => {
      const stop = new AbortController();
      const answer = await fetch(`http://127.0.0.1:${port}/api/v1/events`, {
        headers: { authorization: `Bearer ${TOKEN}`, ...headers },
        signal: stop.signal,
      });
      let text = '';
      let over = false;
      const read = async (): Promise<void> => {
        const decoder = new TextDecoder();
        const body: AsyncIterable<Uint8Array> | null = answer.body;
        for await (const bytes of body ?? []) text += decoder.decode(bytes, { stream: true });
      };
      void read()
        .catch(() => {})
        .finally(() => {
          over = true;
        });
      const listening = {
        text: () => text,
        status: answer.status,
        over: () => over,
        stop: () => stop.abort(),
      };
      onTestFinished(() => listening.stop());
      if (answer.status === 200) await eventually(() => text.includes('event: hello'));
      return listening;
    };
    return { ...made, port, listen };
  };
  const idOf = (text: string): string => [...text.matchAll(/^id: (\S+)$/gm)].at(-1)?.[1] ?? '';

  it('tell each record as it is written, with its kind, and the state of the proxy', async () => {
    const { listen, trail, control } = await start();
    const one = await listen();
    await record(trail, decision({ flow: 'live' }));
    trail.operator(operator({ operator: 'ann' }));
    await eventually(() => /event: decision\ndata: \{"kind":"decision".*"flow":"live"/.test(one.text()));
    await eventually(() => /event: operator\ndata: .*"operator":"ann"/.test(one.text()));
    await eventually(() => /event: state\ndata: .*"policy":"abc","locks":\[\]/.test(one.text()));
    control.locks = [{ group: '*', since: '2026-03-01T12:00:00.000Z', by: 'ann', reason: 'x' }];
    await eventually(() => /event: state\ndata: .*"locks":\[\{"group":"\*"/.test(one.text()));
  });

  it('do not tell what was written before', async () => {
    const { listen, trail } = await start();
    await record(trail, decision({ flow: 'before' }));
    const one = await listen();
    await record(trail, decision({ flow: 'after' }));
    await eventually(() => one.text().includes('"flow":"after"'));
    expect(one.text()).not.toContain('"flow":"before"');
  });

  it('go on where a listener broke off', async () => {
    const { listen, trail } = await start();
    const one = await listen();
    await record(trail, decision({ flow: 'first' }));
    await eventually(() => one.text().includes('"flow":"first"'));
    one.stop();
    await record(trail, decision({ flow: 'missed' }));
    const two = await listen({ 'last-event-id': idOf(one.text()) });
    await eventually(() => two.text().includes('"flow":"missed"'));
    expect(two.text()).not.toContain('"flow":"first"');
    expect(two.text()).not.toContain('event: reset');
  });

  it.each([
    ['of another process', 'AAAAAAAA-1'],
    ['that is none', 'x'],
    ['of the future', ''],
  ])('say so to whoever comes with an id %s: what is shown may have holes', async (_title, id) => {
    const { listen } = await start();
    const one = await listen();
    const future = idOf(one.text()).replace(/-\d+$/, '-999999');
    const two = await listen({ 'last-event-id': id === '' ? future : id });
    expect(two.text()).toContain('event: reset');
  });

  it('say so, too, when too much was missed to be kept', async () => {
    const { listen, trail } = await start();
    const one = await listen();
    const before = idOf(one.text());
    one.stop();
    for (let n = 0; n < 120; n += 1) await record(trail, decision({ flow: `f${n}` }));
    const two = await listen();
    await record(trail, decision({ flow: 'last' }));
    await eventually(() => two.text().includes('"flow":"last"'));
    expect((await listen({ 'last-event-id': before })).text()).toContain('event: reset');
  });

  it('end with the token of the listener', async () => {
    const { listen, operators } = await start();
    const token = operators.add('ann', 'viewer');
    const one = await listen({ authorization: `Bearer ${token}` });
    operators.revoke('ann');
    await eventually(one.over);
  });

  it('have room for so many listeners, and again when some have left', async () => {
    const { listen } = await start();
    const all = await Promise.all(Array.from({ length: MAX_LISTENERS }, () => listen()));
    expect((await listen()).status).toBe(503);
    all[0]?.stop();
    await eventually(async () => {
      const more = await listen();
      return more.status === 200;
    });
  });

  it('drop a listener that does not read', async () => {
    const { port, trail, admin } = await start();
    const socket = connect(port, '127.0.0.1');
    onTestFinished(() => void socket.destroy());
    socket.pause();
    socket.write(`GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${TOKEN}\r\n\r\n`);
    const open = (): Promise<number> =>
      new Promise((resolve) => admin.app.server.getConnections((_error, count) => resolve(count)));
    await eventually(async () => (await open()) === 1);
    const keys = Array.from({ length: 20 }, (_, n) => `${'K'.repeat(2_000)}${n}`);
    await eventually(async () => {
      await Promise.all(Array.from({ length: 50 }, () => record(trail, decision({ keys }))));
      return (await open()) === 0;
    }, 15_000);
  });

  it('carry the headers of every answer', async () => {
    const { port } = await start();
    const stop = new AbortController();
    onTestFinished(() => stop.abort());
    const headers = { authorization: `Bearer ${TOKEN}` };
    const answer = await fetch(`http://127.0.0.1:${port}/api/v1/events`, { headers, signal: stop.signal });
    expect(answer.headers.get('content-type')).toMatch(/^text\/event-stream/);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
  });

  it('end when the admin side closes', async () => {
    const { listen, admin } = await start();
    const one = await listen();
    await admin.close();
    await eventually(one.over);
  });
});
