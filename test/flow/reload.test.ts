/** A changed policy is in force within seconds; a broken one changes nothing; none at all lets nobody out. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { metric, policy, theRecord, tunnelled } from '../helpers/scene.ts';
import { askOnce, connect, tryConnect } from '../helpers/talk.ts';
import { rawUpstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, type World } from '../helpers/world.ts';

const BROKEN = 'version: 1\ngroup: agents\nidentify: { sources: [127.0.0.0/8] }\nrulez: []\n';

describe('reload', () => {
  let upstream: Awaited<ReturnType<typeof rawUpstream>>;
  let world: World;
  const hosts = { 'a.test': ['127.0.0.1'], 'b.test': ['127.0.0.1'] };

  beforeAll(async () => {
    upstream = await rawUpstream((socket) => socket.resume());
  });
  afterEach(() => world.stop());
  afterAll(() => upstream.close());

  const rules = (...names: string[]): string =>
    policy(names.map((name) => tunnelled(`${name}.test:${upstream.port}`, 'protocol: any')));
  const start = async (file: string): Promise<void> => {
    world = await makeWorld({ policies: { 'agents.yaml': file }, hosts });
  };
  const statusOf = async (name: string): Promise<number> => {
    const { client, answer } = await tryConnect(world.port, `${name}.test:${upstream.port}`);
    client.destroy();
    return answer.status;
  };
  /** as an editor does: nobody is told */
  const save = (text: string): void => writeFileSync(path.join(world.dir, 'policies', 'agents.yaml'), text);

  it('a saved file is in force without anybody asking', async () => {
    await start(rules('a'));
    expect(await statusOf('b')).toBe(403);
    save(rules('a', 'b'));
    await eventually(async () => (await statusOf('b')) === 200);
    expect(await statusOf('a')).toBe(200);
    expect(await metric(world, 'sallyport_policy_reloads_total{outcome="ok"}')).toBe(2);
  });

  it('a broken file is told in the log with its line, and the old policy stays', async () => {
    await start(rules('a'));
    save(BROKEN);
    await eventually(
      async () => (await metric(world, 'sallyport_policy_reloads_total{outcome="error"}')) > 0,
    );
    expect(world.log()).toMatch(/policies\/agents\.yaml.*"line":4/);
    expect(world.log()).toContain('the old one stays in force');
    expect(await metric(world, 'sallyport_policy_last_reload_successful')).toBe(0);
    expect(await statusOf('a')).toBe(200);
    expect(await statusOf('b')).toBe(403);
    save(rules('a'));
    await eventually(async () => (await metric(world, 'sallyport_policy_last_reload_successful')) === 1);
  });

  it('is no use of a token', async () => {
    await start(rules('a'));
    const { tokens } = world.proxy.parts;
    const { record } = tokens.create({ group: 'agents' });
    save(rules('a', 'b'));
    expect(world.proxy.reload()).toMatchObject({ ok: true });
    expect(tokens.list().find(({ id }) => id === record.id)?.lastUsed).toBeNull();
  });

  it('on request: SIGHUP and the admin side call the same reload', async () => {
    await start(rules('a'));
    save(BROKEN);
    const outcome = world.proxy.reload();
    expect(outcome.ok).toBe(false);
    expect('problems' in outcome ? outcome.problems[0]?.file : '').toContain('agents.yaml');
    save(rules('b'));
    expect(world.proxy.reload()).toMatchObject({ ok: true });
    expect(await statusOf('a')).toBe(403);
    expect(await statusOf('b')).toBe(200);
  });

  it('records and refusals name the policy that decided', async () => {
    await start(rules('a'));
    await statusOf('a');
    const first = await theRecord(world, { kind: 'decision', host: 'a.test' });
    world.setPolicy('agents.yaml', rules('a', 'b'));
    await statusOf('b');
    const second = await theRecord(world, { kind: 'decision', host: 'b.test' });
    expect(first['policy']).not.toBe(second['policy']);
    expect(await world.metrics()).toContain(`hash="${String(second['policy'])}"`);
  });

  it('the same bytes again end nothing', async () => {
    await start(rules('a'));
    const client = await connect(world.port, `a.test:${upstream.port}`);
    const id = world.proxy.parts.snapshots.current()?.id;
    world.setPolicy('agents.yaml', rules('a'));
    expect(world.proxy.parts.snapshots.current()?.id).toBe(id);
    expect(world.proxy.parts.live.connectionsOpen()).toHaveLength(1);
    client.destroy();
  });

  it('broken at the start: everything is 503 not_ready, recorded, until the file is mended', async () => {
    await start(BROKEN);
    const { answer } = await tryConnect(world.port, `a.test:${upstream.port}`);
    expect(answer.json()).toMatchObject({ status: 503, reason: 'not_ready' });
    expect(answer.field('retry-after')).toBeDefined();
    const env = await askOnce(world.port, 'GET /env HTTP/1.1\r\nHost: sallyport:8080\r\n\r\n');
    expect(env.json()).toMatchObject({ status: 503, reason: 'not_ready' });
    const health = await askOnce(world.port, 'GET /healthz HTTP/1.1\r\nHost: sallyport:8080\r\n\r\n');
    expect(health.status).toBe(200);
    expect(await theRecord(world, { kind: 'decision', host: 'a.test' })).toMatchObject({
      reason: 'not_ready',
    });
    save(rules('a'));
    await eventually(async () => (await statusOf('a')) === 200);
  });

  it('a group without rules reaches nothing', async () => {
    await start(rules());
    expect(await statusOf('a')).toBe(403);
  });
});
