/** A key that rotates is used by the next request on the same open connection; the old one is then a leak. */
import { rmSync } from 'node:fs';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { openVault } from '../../src/vault/sealed.ts';
import { intercepted, metric, placeholderIn, policy, profile, theRecord } from '../helpers/scene.ts';
import { askOnce, connectTls, type Talk } from '../helpers/talk.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';
import { eventually, makeWorld, type World } from '../helpers/world.ts';

const OLD = 'ghp_oldoldoldoldoldoldoldoldoldoldoldold';
const NEW = 'ghp_newnewnewnewnewnewnewnewnewnewnewnew';

describe('a key', () => {
  let upstream: Upstream;
  let world: World;
  let client: Talk;
  let placeholder = '';
  let at = '';

  beforeAll(async () => {
    upstream = await httpUpstream({ name: 'api.test' });
    at = `api.test:${upstream.port}`;
  });
  afterEach(async () => {
    client.destroy();
    await world.stop();
  });
  afterAll(() => upstream.close());

  const start = async (from: string, more: Partial<Parameters<typeof makeWorld>[0]> = {}): Promise<void> => {
    world = await makeWorld({
      policies: {
        'agents.yaml': policy([intercepted(at)], { more: 'profile: keys\n' }),
        'profiles/keys.yaml': profile([{ env: 'API_KEY', from, hosts: [at] }]),
      },
      hosts: { 'api.test': ['127.0.0.1'] },
      ...more,
    });
    client = await connectTls(world.port, at, { ca: world.caPem });
  };
  const learn = async (): Promise<void> => {
    const env = await askOnce(world.port, 'GET /env?format=json HTTP/1.1\r\nHost: sallyport:8080\r\n\r\n');
    placeholder = placeholderIn(env.json(), 'API_KEY');
  };
  const ask = (value: string) =>
    client.ask(`GET / HTTP/1.1\r\nHost: ${at}\r\nAuthorization: Bearer ${value}\r\n\r\n`);
  const arrived = () => upstream.seen.at(-1)?.headers.authorization;

  it('of a file: the next request after the change carries the new value', async () => {
    await start('file:key', { files: { key: `${OLD}\n` } });
    await learn();
    expect((await ask(placeholder)).status).toBe(200);
    expect(arrived()).toBe(`Bearer ${OLD}`);
    world.write('key', `${NEW}\n`);
    await eventually(async () => {
      expect((await ask(placeholder)).status).toBe(200);
      return arrived() === `Bearer ${NEW}`;
    });
    expect((await ask(OLD)).json()).toMatchObject({ reason: 'secret_leak' });
    expect((await ask(NEW)).json()).toMatchObject({ reason: 'secret_leak' });
    expect(placeholder).toMatch(/^ghp_/);
  });

  it('of the vault: set by another process while the proxy runs, then rotated, then removed', async () => {
    await start('vault:api');
    await learn();
    expect((await ask(placeholder)).json()).toMatchObject({ status: 503, reason: 'secret_unavailable' });
    const vault = openVault({ dir: path.join(world.dir, '.sallyport') });
    await vault.set('api', Buffer.from(OLD));
    await eventually(async () => (await ask(placeholder)).status === 200 && arrived() === `Bearer ${OLD}`);
    await vault.rotate('api', Buffer.from(NEW));
    await eventually(async () => (await ask(placeholder)).status === 200 && arrived() === `Bearer ${NEW}`);
    await vault.rm('api');
    await eventually(async () => (await ask(placeholder)).status === 503);
    expect((await ask(NEW)).json()).toMatchObject({ reason: 'secret_leak' });
  });

  it('of the environment reaches its host, is counted and named in the record, and never by value', async () => {
    await start('env:REAL', { env: { REAL: OLD } });
    await learn();
    expect((await ask(placeholder)).status).toBe(200);
    expect(arrived()).toBe(`Bearer ${OLD}`);
    const decision = await theRecord(world, { kind: 'decision', stage: 'request', host: 'api.test' });
    expect(decision['keys']).toEqual(['API_KEY']);
    expect(await metric(world, 'sallyport_substitutions_total{group="agents",key="API_KEY"}')).toBe(1);
    expect(JSON.stringify(await world.audit())).not.toContain(OLD);
  });

  it('whose file goes away is not replaced by its last value', async () => {
    await start('file:key', { files: { key: OLD } });
    await learn();
    rmSync(path.join(world.dir, 'key'));
    await eventually(async () => (await ask(placeholder)).status === 503);
    expect((await ask(placeholder)).json()).toMatchObject({ reason: 'secret_unavailable' });
  });

  it('excluded from a group does not exist for it', async () => {
    await start('env:REAL', { env: { REAL: OLD } });
    await learn();
    world.setPolicy(
      'agents.yaml',
      policy([intercepted(at)], { more: 'profile: keys\nexclude: [API_KEY]\n' }),
    );
    expect((await ask(placeholder)).json()).toMatchObject({ status: 403, reason: 'placeholder_unknown' });
    const env = await askOnce(world.port, 'GET /env?format=json HTTP/1.1\r\nHost: sallyport:8080\r\n\r\n');
    expect(env.json()['API_KEY']).toBeUndefined();
    const whoami = await askOnce(world.port, 'GET /whoami HTTP/1.1\r\nHost: sallyport:8080\r\n\r\n');
    expect(whoami.json()).toMatchObject({ keys: { usable: 0, total: 1 } });
  });
});
