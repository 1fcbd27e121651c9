/** I8: an approval cannot lift a hard deny: what is denied is not asked about, and a yes is for the request that was shown. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decide, held, theHeld } from '../helpers/approvals.ts';
import { policy } from '../helpers/scene.ts';
import { connectTls, tryConnect } from '../helpers/talk.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, type World } from '../helpers/world.ts';

describe('I8: approval and deny', () => {
  let world: World;
  let web: Upstream;
  let at = '';

  beforeAll(async () => {
    web = await httpUpstream({ name: 'pay.test' });
    at = `pay.test:${web.port}`;
    world = await makeWorld({
      policies: {
        'agents.yaml': policy([
          `deny: "${at}", paths: ["/payouts/**"], reason: never`,
          `approve: "${at}", methods: [POST], wait: 2s, addresses: [127.0.0.0/8]`,
          `allow: "${at}", methods: [GET], addresses: [127.0.0.0/8]`,
          `approve: ["paste.test", "shut.test"], addresses: [127.0.0.0/8]`,
        ]),
        'guardrails.yaml': 'version: 1\nrules:\n  - { deny: [paste.test], reason: guardrail }\n',
      },
      hosts: { 'pay.test': ['127.0.0.1'], 'paste.test': ['127.0.0.1'], 'shut.test': ['127.0.0.1'] },
    });
  });
  afterAll(async () => {
    await world.stop();
    await web.close();
  });

  const send = async (method: string, path: string) => {
    const client = await connectTls(world.port, at, { ca: world.caPem });
    const reply = await client.ask(`${method} ${path} HTTP/1.1\r\nHost: ${at}\r\nContent-Length: 0\r\n\r\n`);
    client.destroy();
    return reply;
  };

  it('a denied path is rule_denied at once, whether or not a later rule would ask a person', async () => {
    expect((await send('POST', '/payouts/1')).json()).toMatchObject({ reason: 'rule_denied' });
    expect(held(world)).toEqual([]);
    expect((await send('GET', '/payouts/1')).json()).toMatchObject({ reason: 'rule_denied' });
  });

  it('a guardrail is not asked about', async () => {
    const { answer } = await tryConnect(world.port, 'paste.test:443');
    expect(answer.json()).toMatchObject({ reason: 'rule_denied' });
    expect(answer.json()['detail']).toContain('guardrail');
  });

  it('what nobody approves is refused: silence is not a yes', async () => {
    expect((await send('POST', '/charges')).json()).toMatchObject({
      status: 403,
      reason: 'approval_timeout',
    });
    expect(web.seen).toEqual([]);
  });

  it('a yes does not lift what a new policy denies, at whatever moment it comes', async () => {
    const reply = send('POST', '/late');
    const { id } = await theHeld(world);
    world.setPolicy(
      'guardrails.yaml',
      `version: 1\nrules:\n  - { deny: [pay.test], paths: [/late], reason: guardrail }\n  - { deny: [paste.test], reason: guardrail }\n`,
    );
    expect(await decide(world, id)).toMatchObject({ kind: 'over' });
    expect((await reply).json()).toMatchObject({ reason: 'rule_denied' });
    expect(web.seen).toEqual([]);
    world.setPolicy('guardrails.yaml', 'version: 1\nrules:\n  - { deny: [paste.test], reason: guardrail }\n');
  });

  it('a yes to one request is none to another one', async () => {
    const one = send('POST', '/one');
    const other = send('POST', '/other');
    const shown = await eventually(() => held(world).find(({ path }) => path === '/one'));
    await eventually(() => held(world).length === 2);
    await decide(world, shown.id);
    expect((await one).status).toBe(200);
    expect((await other).json()).toMatchObject({ reason: 'approval_timeout' });
    expect(web.seen.map(({ url }) => url)).toEqual(['/one']);
    web.seen.length = 0;
  });

  it('what a rule allows beside it goes through', async () => {
    expect((await send('GET', '/charges')).status).toBe(200);
  });
});
