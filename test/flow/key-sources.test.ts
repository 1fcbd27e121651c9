/** Keys from outside (`stronghold:`, `kv:`, `command:`) through a running proxy: rotated, taken away, down, hanging. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type KvServer, kvServer } from '../helpers/kv-server.ts';
import { intercepted, type Key, metric, placeholderIn, policy, profile } from '../helpers/scene.ts';
import { type StandIn, standInStronghold } from '../helpers/stand-in-stronghold.ts';
import { askOnce, connectTls, type Talk } from '../helpers/talk.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, movableClock, type World } from '../helpers/world.ts';

const OLD = 'ghp_oldoldoldoldoldoldoldoldoldoldoldold';
const NEW = 'ghp_newnewnewnewnewnewnewnewnewnewnewnew';
const OTHER = 'sk-other0other0other0other0other0';

describe('a key from outside', () => {
  let dir = '';
  let cli: StandIn;
  let vault: KvServer;
  let upstream: Upstream;
  let world: World;
  let client: Talk | null = null;
  let at = '';
  let valid = OLD;
  let clock = movableClock();

  beforeEach(async () => {
    dir = mkdtempSync(path.join(tmpdir(), 'sallyport-sources-'));
    cli = standInStronghold(dir);
    vault = await kvServer();
    valid = OLD;
    clock = movableClock();
    upstream = await httpUpstream({
      name: 'api.test',
      answer: (request, response) => {
        const { authorization } = request.headers;
        const known =
          authorization === undefined || [valid, OTHER].some((key) => authorization === `Bearer ${key}`);
        response.writeHead(known ? 200 : 401).end(known ? 'fine' : 'who?');
      },
    });
    at = `api.test:${upstream.port}`;
  });
  afterEach(async () => {
    client?.destroy();
    client = null;
    await world.stop();
    await Promise.all([upstream.close(), vault.close()]);
    rmSync(dir, { recursive: true, force: true });
  });

  const start = async (keys: readonly Pick<Key, 'env' | 'from'>[], env: Record<string, string> = {}) => {
    world = await makeWorld({
      policies: {
        'agents.yaml': policy([intercepted(at)], { more: 'profile: keys\n' }),
        'profiles/keys.yaml': profile(keys.map((key) => ({ ...key, hosts: [at] }))),
      },
      hosts: { 'api.test': ['127.0.0.1'] },
      files: { 'print-key': `#!/bin/sh\necho ${OTHER}\n` },
      env: { ...cli.env, ...vault.env, ...env },
      clock,
    });
    client = await connectTls(world.port, at, { ca: world.caPem });
  };
  const placeholder = async (name = 'API_KEY'): Promise<string> => {
    const env = await askOnce(world.port, 'GET /env?format=json HTTP/1.1\r\nHost: sallyport:8080\r\n\r\n');
    return placeholderIn(env.json(), name);
  };
  const ask = async (value: string | null) => {
    if (client === null) throw new Error('no client');
    const login = value === null ? '' : `Authorization: Bearer ${value}\r\n`;
    return client.ask(`GET / HTTP/1.1\r\nHost: ${at}\r\n${login}\r\n`);
  };
  const runs = (): number => readFileSync(cli.runs, 'utf8').split('\n').length - 1;

  it('of a deployment reaches its host by the name that the sandbox knows, one run for all', async () => {
    cli.prints('production', `export API_KEY=${OLD}\nexport SECOND='${OTHER}'\n`);
    await start([
      { env: 'API_KEY', from: 'stronghold:production' },
      { env: 'RENAMED', from: 'stronghold:production#SECOND' },
    ]);
    expect((await ask(await placeholder())).status).toBe(200);
    expect((await ask(await placeholder('RENAMED'))).status).toBe(200);
    expect(upstream.seen.map(({ headers }) => headers.authorization)).toEqual([
      `Bearer ${OLD}`,
      `Bearer ${OTHER}`,
    ]);
    expect(runs()).toBe(1);
    expect(await placeholder()).toMatch(/^ghp_/);
    const fetched = 'sallyport_secret_fetch_total{source="stronghold",outcome="ok"}';
    expect(await metric(world, fetched)).toBe(1);
    expect(await world.metrics()).toMatch(
      /sallyport_secret_age_seconds\{key="stronghold:production#SECOND"\}/,
    );
  });

  it('is fetched again when an upstream answers 401 to it, but not at every 401', async () => {
    cli.prints('production', `export API_KEY=${OLD}\n`);
    await start([{ env: 'API_KEY', from: 'stronghold:production' }]);
    const held = await placeholder();
    valid = NEW;
    cli.prints('production', `export API_KEY=${NEW}\n`);
    for (let times = 0; times < 20; times += 1) expect((await ask(held)).status).toBe(401);
    expect(runs()).toBe(1);
    clock.advance(30_000);
    await eventually(async () => (await ask(held)).status === 200);
    expect(runs()).toBe(2);
    expect((await ask(OLD)).json()).toMatchObject({ reason: 'secret_leak' });
  });

  it('is not fetched again for a 401 to a request without keys', async () => {
    cli.prints('production', `export API_KEY=${OLD}\n`);
    await start([{ env: 'API_KEY', from: 'stronghold:production' }]);
    expect((await ask('of-somebody-else')).status).toBe(401);
    clock.advance(31_000);
    const before = runs();
    // Two looks of the timer that would have fetched it.
    const passed = clock.mono() + 2_500;
    await eventually(() => clock.mono() > passed);
    expect(runs()).toBe(before);
  });

  it('is fetched again by the clock, and is gone when its group no longer has it', async () => {
    cli.prints('production', `export API_KEY=${OLD}\n`);
    await start([{ env: 'API_KEY', from: 'stronghold:production' }]);
    const held = await placeholder();
    expect((await ask(held)).status).toBe(200);
    cli.prints('production', 'export OTHER=x\n');
    clock.advance(300_000);
    await eventually(async () => (await ask(held)).status === 503);
    expect((await ask(held)).json()).toMatchObject({ reason: 'secret_unavailable' });
    expect((await ask(OLD)).json()).toMatchObject({ reason: 'secret_leak' });
    expect((await ask(null)).status).toBe(200);
  });

  it('serves on while its source is down, for an hour and no longer, and the log says so', async () => {
    cli.prints('production', `export API_KEY=${OLD}\n`);
    await start([{ env: 'API_KEY', from: 'stronghold:production' }]);
    const held = await placeholder();
    cli.set('down');
    clock.advance(300_000);
    await eventually(() => world.log().includes('the last value serves for now'));
    expect((await ask(held)).status).toBe(200);
    expect(await metric(world, 'sallyport_secret_fetch_total{source="stronghold",outcome="error"}')).toBe(1);
    clock.advance(3_400_000);
    await eventually(async () => (await ask(held)).status === 503);
    cli.set('up');
    clock.advance(15_000);
    await eventually(async () => (await ask(held)).status === 200);
    expect(world.log()).not.toContain(OLD);
  });

  it('is fetched at once when an operator reloads', async () => {
    cli.prints('production', `export API_KEY=${OLD}\n`);
    await start([{ env: 'API_KEY', from: 'stronghold:production' }]);
    const held = await placeholder();
    valid = NEW;
    cli.prints('production', `export API_KEY=${NEW}\n`);
    world.proxy.reload();
    await eventually(async () => (await ask(held)).status === 200);
  });

  it('that hangs holds up neither the start beyond its limit, nor other keys, nor hosts without', async () => {
    cli.set('hang');
    const before = Date.now();
    await start([
      { env: 'API_KEY', from: 'stronghold:production' },
      { env: 'FILE_KEY', from: 'file:key' },
    ]);
    expect(Date.now() - before).toBeLessThan(20_000);
    world.write('key', OTHER);
    const other = await placeholder('FILE_KEY');
    const since = Date.now();
    await eventually(async () => (await ask(other)).status === 200);
    expect(Date.now() - since).toBeLessThan(5_000);
    expect((await ask(await placeholder())).json()).toMatchObject({ reason: 'secret_unavailable' });
    expect((await ask(null)).status).toBe(200);
    cli.prints('production', `export API_KEY=${OLD}\n`);
    cli.set('up');
    clock.advance(15_000);
    const held = await placeholder();
    await eventually(async () => (await ask(held)).status === 200, 20_000);
  });

  it('of a KV store and one of a command reach their host, and no record, log or metric holds them', async () => {
    vault.put('secret/github', { token: OLD });
    const token = vault.issue(0);
    await start(
      [
        { env: 'API_KEY', from: 'kv:secret/github#token' },
        { env: 'SECOND', from: 'command:sh print-key' },
      ],
      { VAULT_TOKEN: token },
    );
    expect((await ask(await placeholder())).status).toBe(200);
    expect((await ask(await placeholder('SECOND'))).status).toBe(200);
    const told = world.log() + JSON.stringify(await world.audit());
    for (const secret of [OLD, OTHER, token]) expect(told).not.toContain(secret);
    expect(await world.metrics()).not.toContain(OLD);
  });
});
