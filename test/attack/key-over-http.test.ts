/** Keys over plain HTTP: a placeholder is swapped inside verified TLS only, whatever the client asks for. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AttackWorld, attackWorld, REAL } from '../helpers/attack-world.ts';
import { askOnce, connect } from '../helpers/talk.ts';

describe('a placeholder over plain HTTP', () => {
  let scene: AttackWorld;
  beforeAll(async () => {
    scene = await attackWorld();
  });
  afterAll(() => scene.stop());

  it('in absolute-form is secret_requires_tls', async () => {
    const { plain } = scene.at;
    const reply = await askOnce(
      scene.world.port,
      `GET http://${plain}/ HTTP/1.1\r\nHost: ${plain}\r\nAuthorization: Bearer ${scene.mine}\r\n\r\n`,
    );
    expect(reply.json()).toMatchObject({ status: 403, reason: 'secret_requires_tls' });
    expect(reply.body.toString()).not.toContain(REAL);
    expect(scene.plain.connections()).toBe(0);
  });

  it('to the TLS host’s port in the clear goes nowhere either', async () => {
    const { bound } = scene.at;
    const reply = await askOnce(
      scene.world.port,
      `GET http://${bound}/ HTTP/1.1\r\nHost: ${bound}\r\nAuthorization: Bearer ${scene.mine}\r\n\r\n`,
    );
    expect(reply.status).toBe(403);
    expect(scene.bound.seen).toEqual([]);
  });

  it('in the clear behind a CONNECT to an intercepted host ends at the hello gate', async () => {
    const client = await connect(scene.world.port, scene.at.bound);
    client.write(`GET / HTTP/1.1\r\nHost: ${scene.at.bound}\r\nAuthorization: Bearer ${scene.mine}\r\n\r\n`);
    const told = await client.rest();
    expect(told.toString('latin1')).toMatch(/^HTTP\/1\.1 403 not_tls /);
    client.destroy();
    expect(scene.bound.connections()).toBe(0);
  });
});
