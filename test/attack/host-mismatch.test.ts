/** A request inside an intercepted connection that means another host: by Host field or by absolute-form. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AttackWorld, attackWorld } from '../helpers/attack-world.ts';
import { theRecord } from '../helpers/scene.ts';
import { askOnce, connectTls } from '../helpers/talk.ts';

describe('another host inside an intercepted connection', () => {
  let scene: AttackWorld;
  beforeAll(async () => {
    scene = await attackWorld();
  });
  afterAll(() => scene.stop());

  it.each([
    ['evil.test', 'host_mismatch'],
    ['key.test', 'host_mismatch'],
    ['key.test:443', 'host_mismatch'],
    ['key.test@evil.test', 'bad_request'],
    ['', 'bad_request'],
  ])('Host: %s is %s', async (host, reason) => {
    const client = await connectTls(scene.world.port, scene.at.bound, { ca: scene.world.caPem });
    const reply = await client.ask(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    expect(reply.json()).toMatchObject({ reason });
    client.destroy();
    expect(scene.arrived()).toBe(0);
  });

  it('is recorded with the policy and with how the connection is carried', async () => {
    const client = await connectTls(scene.world.port, scene.at.bound, { ca: scene.world.caPem });
    const reply = await client.ask('GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n');
    client.destroy();
    const { request_id } = reply.json();
    const policy = scene.world.proxy.parts.snapshots.current()?.set.hash;
    for (const kind of ['decision', 'end'])
      expect(await theRecord(scene.world, { kind, request_id })).toMatchObject({
        treat: 'intercept',
        policy,
      });
  });

  it('is looked for in every request, not only the first', async () => {
    const client = await connectTls(scene.world.port, scene.at.bound, { ca: scene.world.caPem });
    const good = `GET / HTTP/1.1\r\nHost: ${scene.at.bound}\r\n\r\n`;
    expect((await client.ask(good)).status).toBe(200);
    expect((await client.ask('GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n')).status).toBe(421);
    client.destroy();
  });

  it.each([
    ['http://evil.test/'],
    ['https://evil.test/'],
    ['https://key.test/'],
    ['//evil.test@key.test/../'],
  ])('request target %s is not forwarded as another host’s', async (target) => {
    const before = scene.bound.seen.length;
    const client = await connectTls(scene.world.port, scene.at.bound, { ca: scene.world.caPem });
    const reply = await client.ask(`GET ${target} HTTP/1.1\r\nHost: ${scene.at.bound}\r\n\r\n`);
    client.destroy();
    if (target.startsWith('//')) {
      // Origin-form: a path that begins with two slashes stays a path of this host.
      expect(scene.bound.seen.at(-1)).toMatchObject({ url: target, headers: { host: scene.at.bound } });
    } else {
      expect(reply.json()).toMatchObject({ reason: 'bad_request' });
      expect(scene.bound.seen.length).toBe(before);
    }
    expect(scene.other.connections() + scene.plain.connections()).toBe(0);
  });

  it.each([
    ['https://AT/abs?x=1', 'GET', '/abs?x=1'],
    ['HTTPS://KEY.test:PORT', 'GET', '/'],
    ['*', 'OPTIONS', '*'],
    ['https://AT', 'OPTIONS', '*'],
  ])('request target %s of a %s means this host, and goes up as %s', async (written, method, url) => {
    const { bound } = scene.at;
    const target = written.replace('AT', bound).replace('PORT', bound.replace(/^.*:/, ''));
    const client = await connectTls(scene.world.port, bound, { ca: scene.world.caPem });
    const reply = await client.ask(`${method} ${target} HTTP/1.1\r\nHost: ${bound}\r\n\r\n`);
    client.destroy();
    expect(reply.status).toBe(200);
    expect(scene.bound.seen.at(-1)).toMatchObject({ method, url, headers: { host: bound } });
  });

  it.each([
    ['http://AT/', 'GET', 'bad_request'],
    ['https://key.test/', 'GET', 'bad_request'],
    ['https://user@AT/', 'GET', 'bad_authority'],
    ['wss://AT/', 'GET', 'bad_request'],
    ['*', 'GET', 'bad_request'],
  ])('request target %s of a %s does not mean this host: %s', async (written, method, reason) => {
    const { bound } = scene.at;
    const before = scene.bound.seen.length;
    const client = await connectTls(scene.world.port, bound, { ca: scene.world.caPem });
    const reply = await client.ask(
      `${method} ${written.replace('AT', bound)} HTTP/1.1\r\nHost: ${bound}\r\n\r\n`,
    );
    client.destroy();
    expect(reply.json()).toMatchObject({ reason });
    expect(scene.bound.seen.length).toBe(before);
  });

  it('two Host fields are refused on the proxy port as well', async () => {
    const reply = await askOnce(
      scene.world.port,
      `GET http://${scene.at.plain}/ HTTP/1.1\r\nHost: ${scene.at.plain}\r\nHost: evil.test\r\n\r\n`,
    );
    expect(reply.json()).toMatchObject({ reason: 'bad_request' });
    const mismatch = await askOnce(
      scene.world.port,
      `GET http://${scene.at.plain}/ HTTP/1.1\r\nHost: evil.test\r\n\r\n`,
    );
    expect(mismatch.json()).toMatchObject({ status: 421, reason: 'host_mismatch' });
    expect(scene.plain.seen).toEqual([]);
  });
});
