/** curl through SOCKS5, with names that the proxy resolves and with addresses. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { describeWith } from '../helpers/programs.ts';
import { intercepted, policy, theRecord, tunnelled } from '../helpers/scene.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';
import { makeWorld, type World } from '../helpers/world.ts';
import { makeSandbox, type Sandbox } from './sandbox.ts';

describeWith(['curl'], 'curl over SOCKS5', () => {
  let world: World;
  let web: Upstream;
  let plain: Upstream;
  let sandbox: Sandbox;
  let at = '';

  beforeAll(async () => {
    web = await httpUpstream({ name: 'api.test' });
    plain = await httpUpstream();
    at = `api.test:${web.port}`;
    world = await makeWorld({
      policies: { 'agents.yaml': policy([intercepted(at), tunnelled(`127.0.0.1:${plain.port}`)]) },
      hosts: { 'api.test': ['127.0.0.1'] },
    });
    sandbox = await makeSandbox(world);
  });
  afterAll(async () => {
    await world.stop();
    await web.close();
    await plain.close();
  });

  const curl = (way: string, url: string, user = '') =>
    sandbox.run(`curl -sS --noproxy '' ${way} ${user}127.0.0.1:${world.port} ${url}`);

  it('--socks5-hostname sends the name, and is intercepted', async () => {
    const ran = await curl('--socks5-hostname', `https://${at}/by-name`);
    expect(ran.status, ran.stderr).toBe(0);
    expect(ran.stdout).toBe('GET /by-name 0');
    await theRecord(world, { kind: 'decision', via: 'socks5', path: '/by-name', host: 'api.test' });
  });

  it('a token is the password of its login', async () => {
    const { record, token } = world.proxy.parts.tokens.create({ group: 'agents' });
    const ran = await curl('--socks5-hostname', `https://${at}/by-token`, `any:${token}@`);
    expect(ran.status, ran.stderr).toBe(0);
    await theRecord(world, { kind: 'decision', path: '/by-token', identity: record.id });
    const refused = await curl('--socks5-hostname', `https://${at}/wrong`, 'any:wrong@');
    expect(refused.status).not.toBe(0);
    await theRecord(world, { kind: 'decision', via: 'socks5', reason: 'auth_invalid' });
  });

  it('--socks5 sends an address, which a rule must list', async () => {
    const ran = await curl('--socks5', `http://127.0.0.1:${plain.port}/by-address`);
    expect(ran.status, ran.stderr).toBe(0);
    expect(ran.stdout).toBe('GET /by-address 0');
  });

  it('shows the code of a refusal', async () => {
    const ran = await curl('--socks5-hostname', 'https://evil.test/');
    expect(ran.status).toBe(97);
    expect(ran.stderr).toMatch(/\(2\)/);
  });
});
