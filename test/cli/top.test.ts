/** `top` against a proxy that runs, and on a terminal of the test's own. */
import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runProgram } from '../../src/cli/program.ts';
import type { TopView } from '../../src/cli/top-read.ts';
import { frameText } from '../../src/cli/top-text.ts';
import { policy } from '../helpers/scene.ts';
import { askOnce } from '../helpers/talk.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';
import { eventually } from '../helpers/world.ts';
import type { Ran } from './main-harness.ts';
import { type Running, startProcess } from './process-harness.ts';

const ENTER = '\x1b[?1049h\x1b[?25l';
const LEAVE = '\x1b[?25h\x1b[?1049l';

describe('top', () => {
  let web: Upstream;
  let running: Running;

  beforeAll(async () => {
    web = await httpUpstream();
    running = await startProcess({
      policies: { 'agents.yaml': policy([`allow: "web.test:${web.port}", addresses: [127.0.0.0/8]`]) },
      settings: `proxy: { listen: "127.0.0.1:0", drain: 1s }\nadmin: { listen: "127.0.0.1:0" }\ndns: { hosts: { "web.test": [127.0.0.1] } }\n`,
    });
    await ask(`http://web.test:${web.port}/`);
    await ask('http://no.test/');
    await running.admin('PUT', '/api/v1/lockdown', {
      on: true,
      group: 'agents',
      reason: 'odd \u202e uploads',
    });
  });
  afterAll(async () => {
    await running.remove();
    await web.close();
  });

  const ask = (url: string): Promise<unknown> =>
    askOnce(running.port, `GET ${url} HTTP/1.1\r\nHost: ${new URL(url).host}\r\n\r\n`);
  const env = (): Record<string, string> => ({ SALLYPORT_ADMIN_LISTEN: `127.0.0.1:${running.adminPort}` });
  const top = (...args: string[]): Promise<Ran> => running.home.run(['top', ...args], { env: env() });

  /** On a terminal; `keys` takes what is typed. */
  function onTerminal(...args: string[]) {
    const keys = new PassThrough();
    const raw: boolean[] = [];
    const stdin = Object.assign(keys, { isTTY: true, setRawMode: (on: boolean) => raw.push(on) });
    const stdout = Object.assign(new PassThrough(), { isTTY: true, columns: 100, rows: 40 });
    let shown = '';
    let said = '';
    stdout.on('data', (bytes: Buffer) => (shown += bytes.toString()));
    const stderr = new PassThrough().on('data', (bytes: Buffer) => (said += bytes.toString()));
    const done = runProgram(['top', ...args], { stdin, stdout, stderr, env: env(), cwd: running.home.dir });
    return { keys, raw, shown: () => shown, said: () => said, done };
  }

  it('shows groups, what was refused and who is locked, once, without a control character', async () => {
    const { status, out, err } = await top('--once');
    expect([status, err]).toEqual([0, '']);
    expect(out).toMatch(/^sallyport \S+ {2}\S+Z {2}ready\n/);
    expect(out).toMatch(/^LOCKED agents since \S+ by admin: odd \\u202e uploads$/m);
    expect(out).toMatch(/^agents +enforce +\d+ +- +[2-9] +0\/0$/m);
    expect(out).toMatch(/^agents +1 {2}no\.test {2}host_not_allowed$/m);
    expect(out).toMatch(/^[ -~\n]+$/);
  });

  it('gives the same as JSON', async () => {
    const { out } = await top('--once', '--json');
    expect(JSON.parse(out)).toMatchObject({
      ready: true,
      groups: [{ group: 'agents', per_second: null }],
      held: [],
      blocked: [{ host: 'no.test', reason: 'host_not_allowed', count: 1 }],
      locks: [{ group: 'agents', by: 'admin' }],
    });
  });

  it.each(['q', '\u0003'])('draws itself anew, and gives the terminal back at %j', async (key) => {
    const { keys, raw, shown, done } = onTerminal('--every', '1s');
    // The second one knows a rate.
    await eventually(() => / \d+\.\d +\d+ +0\/0/.test(shown()), 30_000);
    keys.write(key);
    expect(await done).toBe(0);
    expect(shown().startsWith(ENTER)).toBe(true);
    expect(shown().endsWith(LEAVE)).toBe(true);
    expect(shown()).toContain('\x1b[31mLOCKED agents');
    expect(raw).toEqual([true, false]);
    expect(process.listenerCount('SIGHUP')).toBe(0);
  });

  it.each([
    ['standard output that is no terminal', ['top'], /use --once/],
    ['--json without --once', ['top', '--json'], /--once/],
    ['a rest that is none', ['top', '--once', '--every', '0s'], /1s to/],
  ])('is wrong use with %s', async (_what, args, words) => {
    const { status, err } = await running.home.run(args, { env: env() });
    expect([status, err]).toEqual([2, expect.stringMatching(words)]);
  });

  it('says in one line that no proxy answers, and gives the terminal back when it stops answering', async () => {
    const { shown, said, done, raw } = onTerminal('--every', '1s');
    await eventually(() => shown().includes('LOCKED'), 30_000);
    running.child.kill('SIGKILL');
    expect(await done).toBe(1);
    expect(shown().endsWith(LEAVE)).toBe(true);
    expect(raw).toEqual([true, false]);
    expect(said()).toMatch(/^sallyport: no proxy answers at [^\n]+\n$/);
    const { status, err } = await top('--once');
    expect([status, err]).toEqual([1, expect.stringMatching(/^sallyport: no proxy answers at [^\n]+\n$/)]);
  }, 60_000);
});

describe('a frame of top', () => {
  const VIEW: TopView = {
    at: 0,
    version: '1',
    ready: false,
    why: ['\x1b[2J'],
    groups: [
      {
        group: 'a\u001bb',
        mode: 'enforce',
        open_connections: 1,
        keys: { usable: 0, total: 0 },
        requests: 3,
        per_second: 1,
      },
    ],
    blocked: [{ group: 'g', host: `${'h'.repeat(10_000)}\x1b]0;`, reason: 'x', count: 1, last: '' }],
    held: [{ id: 'i', group: 'g', method: 'GET\r', url: 'http://x/\u202e', expires: '1970-01-01T00:00:30Z' }],
    locks: [{ group: '*', since: 's', by: '\u009b', reason: '' }],
  };

  it('holds nothing that a terminal acts on, whatever others wrote, and no line beyond the width', () => {
    const text = frameText(VIEW, { columns: 80, rows: 50, colours: false });
    expect(text).toMatch(/^[ -~\n]+$/);
    expect(Math.max(...text.split('\n').map((line) => line.length))).toBe(80);
    expect(text).toContain('LOCKED everybody');
    expect(text).toMatch(/^g +30 s {2}i {2}GET\\u000d http:\/\/x\/\\u202e$/m);
  });

  it('is no longer than the screen', () => {
    expect(frameText(VIEW, { columns: 80, rows: 4, colours: true }).trimEnd().split('\n')).toHaveLength(4);
  });
});
