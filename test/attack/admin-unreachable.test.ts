/**
 * The admin side from a sandbox whose rules allow as much as rules can: not on the proxy's port, and not through the
 * proxy, by whatever name, address, protocol or redirect. A page in the operator's browser does not get in either.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Running, startProcess } from '../cli/process-harness.ts';
import { trySocks } from '../helpers/socks.ts';
import { askOnce, tryConnect } from '../helpers/talk.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';

const LIMIT_MS = 60_000;

describe.each([1, 2])('the admin side of a proxy of %i processes', (workers) => {
  let running: Running;
  let upstream: Upstream;
  let adminPort = '';
  /** where a sandbox could think that it is */
  const names = ['inner.test', 'sallyport', '127.0.0.1', '[::ffff:7f00:1]', '0.0.0.0'];

  beforeAll(async () => {
    running = await startProcess({
      policies: {},
      settings: `proxy: { listen: "127.0.0.1:0", workers: ${workers} }
admin: { listen: "127.0.0.1:0" }
dns: { hosts: { inner.test: [127.0.0.1], sallyport: [127.0.0.1], mixed.test: [127.0.0.1, "::1"], up.test: [127.0.0.1] } }
`,
    });
    adminPort = new URL(running.adminUrl).port;
    upstream = await httpUpstream({
      answer: (_request, response) => {
        response.writeHead(302, { location: `${running.adminUrl}/api/v1/status` }).end();
      },
    });
    // Every loopback address is opened to every name: what is left is that this is ours.
    const open = 'addresses: ["127.0.0.0/8", "::1/128", "0.0.0.0/8"], protocol: any';
    const rules = [...names, 'mixed.test'].map((name) => `  - { allow: "${name}:${adminPort}", ${open} }\n`);
    writeFileSync(
      join(running.home.dir, 'policies', 'agents.yaml'),
      `version: 1\ngroup: agents\nidentify: { sources: [127.0.0.0/8] }\nrules:\n${rules.join('')}` +
        `  - { allow: "up.test:${upstream.port}", addresses: ["127.0.0.0/8"] }\n`,
    );
    const reloaded = await running.admin('POST', '/api/v1/reload');
    expect([reloaded.status, reloaded.body]).toMatchObject([200, { ok: true }]);
  }, LIMIT_MS);
  afterAll(async () => {
    await running.remove();
    await upstream.close();
  });

  it.each([...names, 'mixed.test'])(
    'is not reached as %s, by CONNECT, SOCKS or absolute-form',
    async (name) => {
      const at = `${name}:${adminPort}`;
      const { client, answer } = await tryConnect(running.port, at);
      client.destroy();
      expect([name, answer.status]).toEqual([name, 403]);
      expect(answer.json()['reason']).toMatch(/^(address_not_allowed|host_not_allowed)$/);
      const absolute = await askOnce(
        running.port,
        `GET http://${at}/healthz HTTP/1.1\r\nHost: ${at}\r\n\r\n`,
      );
      expect([name, absolute.status]).toEqual([name, 403]);
      if (name.startsWith('[')) return;
      const socks = await trySocks(running.port, at, { asName: /[a-z]/.test(name) });
      socks.client.destroy();
      expect([name, socks.code]).toEqual([name, 2]);
    },
  );

  it('is not reached by a redirect, which the client follows through the proxy', async () => {
    const at = `up.test:${upstream.port}`;
    const first = await askOnce(running.port, `GET http://${at}/ HTTP/1.1\r\nHost: ${at}\r\n\r\n`);
    expect(first.status).toBe(302);
    const location = new URL(first.field('location') ?? '');
    const next = await askOnce(
      running.port,
      `GET ${location.href} HTTP/1.1\r\nHost: ${location.host}\r\n\r\n`,
    );
    expect(next.json()).toMatchObject({ status: 403, reason: 'address_not_allowed' });
  });

  it.each(['/api/v1/status', '/api/openapi.json', '/metrics', '/readyz', '/'])(
    'is not on the proxy’s port: %s',
    async (path) => {
      for (const host of ['sallyport', `127.0.0.1:${adminPort}`]) {
        const answer = await askOnce(running.port, `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
        expect(answer.status).toBe(400);
      }
    },
  );

  it.each([
    ['a page elsewhere', { origin: 'https://evil.example' }, 403],
    ['a page on another port of this machine', { origin: 'http://127.0.0.1:3000' }, 403],
    ['a rebound name', { host: 'evil.example' }, 421],
    ['a form', { 'content-type': 'text/plain' }, 415],
  ])('refuses %s although it has the token', async (_title, headers, status) => {
    const { token } = running;
    const own = { host: `127.0.0.1:${adminPort}`, 'content-type': 'application/json', ...headers };
    const fields = Object.entries(own).map(([name, value]) => `${name}: ${value}\r\n`);
    const body = '{"on":true,"reason":"x"}';
    const text = `PUT /api/v1/lockdown HTTP/1.1\r\nauthorization: Bearer ${token}\r\n${fields.join('')}content-length: ${body.length}\r\n\r\n${body}`;
    expect((await askOnce(Number(adminPort), text)).status).toBe(status);
    expect((await running.admin('GET', '/api/v1/lockdown')).body).toEqual({ locked: false, locks: [] });
  });
});
