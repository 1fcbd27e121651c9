/**
 * What sandboxes wrote, as every command shows it: no byte that a terminal acts on, no letter that looks like another one, and
 * nothing endless. The record holds what no codec lets through today; a later one might.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openAuditTrail } from '../../src/audit/writer.ts';
import { systemClock } from '../../src/base/clock.ts';
import { policy } from '../helpers/scene.ts';
import { open, type Talk } from '../helpers/talk.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';
import { eventually } from '../helpers/world.ts';
import { decision, end, record } from '../unit/audit/samples.ts';
import { type Installation, installation } from './main-harness.ts';
import { type Running, startProcess } from './process-harness.ts';

const LIMIT_MS = 60_000;
const EVIL = '\x1b[2J\x1b]0;x\x07\u009b31m\r\u202eevil\u2066\u200b<script>alert(1)</script>\u0000\ud800é';
/** A host of 10 KB. */
const LONG = `${EVIL}${'a'.repeat(10_000)}.test`;
/** All that a terminal gets to see; `…` is ours. */
const HARMLESS = /^[\n -~…]*$/;

describe('a record of hostile words', () => {
  let home: Installation;

  beforeAll(async () => {
    home = installation({
      policies: { 'agents.yaml': policy(['allow: "api.test"'], { more: 'mode: monitor\n' }) },
    });
    const dir = join(home.dir, '.sallyport');
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    const trail = openAuditTrail({ dir: join(dir, 'audit'), sync: 'batch', clock: systemClock });
    const words = { group: 'agents', host: LONG, method: EVIL, path: `/${LONG}`, keys: [EVIL] };
    for (const verdict of ['deny', 'would_deny', 'approve', 'allow'] as const) {
      const approval = { id: 'x', by: EVIL };
      await record(trail, decision({ ...words, verdict, identity: EVIL, client: EVIL, approval }));
      trail.end(end({ ...words, identity: EVIL, client: EVIL }));
    }
    trail.operator({
      kind: 'operator',
      action: EVIL,
      operator: EVIL,
      origin: 'api',
      client: EVIL,
      group: EVIL,
      subject: LONG,
      outcome: 'done',
      why: LONG,
      actedAt: systemClock.now(),
    });
    await trail.close();
    writeFileSync(join(dir, 'lockdown'), `${EVIL}\n`);
  });
  afterAll(() => home.remove());

  it.each([
    [['audit', 'tail']],
    [['audit', 'tail', '--json']],
    [['audit', 'search', '--group', 'agents']],
    [['audit', 'search', '--json']],
    [['audit', 'export']],
    [['audit', 'report']],
    [['audit', 'verify']],
    [['learn', '--group', 'agents']],
    [['incident', '--reason', 'drill', '--dry-run']],
    [['lockdown', 'status']],
    [['token', 'list']],
  ])('is shown harmlessly by %j, to a terminal and to a pipe', async (args) => {
    for (const tty of [true, false]) {
      const { out, err } = await home.run(args, { tty });
      // Colours are ours, and on a terminal alone.
      const plain = tty ? out.replaceAll(/\x1b\[[0-9;]*m/g, '') : out;
      expect(plain).toMatch(HARMLESS);
      expect(err.replaceAll(/\x1b\[[0-9;]*m/g, '')).toMatch(HARMLESS);
      expect(Math.max(...plain.split('\n').map(({ length }) => length))).toBeLessThan(40_000);
    }
  });

  it('is shown harmlessly by the list of keys of an incident, and by the page of the review', async () => {
    await home.run(['audit', 'report', '--html', 'review.html']);
    const page = readFileSync(join(home.dir, 'review.html'), 'utf8');
    expect(page).not.toMatch(/<script|[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b\u202e\u2066]/);
    const { out } = await home.run(['incident', '--reason', 'drill']);
    expect(out).toMatch(HARMLESS);
    expect(out).toContain('Rotate these keys');
  });
});

describe('a held call of hostile words', () => {
  let web: Upstream;
  let running: Running;
  let client: Talk;

  beforeAll(async () => {
    web = await httpUpstream();
    running = await startProcess({
      policies: { 'agents.yaml': policy([`approve: "pay.test:${web.port}", addresses: [127.0.0.0/8]`]) },
      settings:
        'proxy: { listen: "127.0.0.1:0" }\nadmin: { listen: "127.0.0.1:0" }\ndns: { hosts: { "pay.test": [127.0.0.1] } }\n',
    });
    client = await open(running.port);
    const at = `pay.test:${web.port}`;
    const body = Buffer.from('\u202eevil\u2066\u200b<script>alert(1)</script>é');
    client.write(
      `POST http://${at}/${'a'.repeat(6_000)}%1b%5b2J<b> HTTP/1.1\r\nHost: ${at}\r\nContent-Type: text/plain;x=<i>\r\nContent-Length: ${body.length}\r\n\r\n`,
    );
    client.write(body);
  }, LIMIT_MS);
  afterAll(async () => {
    client.destroy();
    await running.remove();
    await web.close();
  });

  it(
    'is shown harmlessly by approvals and top, and stands so in the log',
    async () => {
      const env = { SALLYPORT_ADMIN_LISTEN: `127.0.0.1:${running.adminPort}` };
      const list = await eventually(async () => {
        const ran = await running.home.run(['approvals', 'list'], { env, tty: true });
        return ran.out.includes('/aaaa') && ran;
      }, LIMIT_MS);
      expect(list.out).toMatch(HARMLESS);
      expect(list.out).toMatch(/body, \d+ bytes: .*\\u202eevil/);
      const top = await running.home.run(['top', '--once'], { env });
      expect(top.out).toMatch(HARMLESS);
      expect(running.said()).toMatch(HARMLESS);
    },
    LIMIT_MS,
  );
});
