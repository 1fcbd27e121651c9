/** curl: what its user sees of a refusal with -v, bytes that a proxy must leave as they are, and what needs no proxy. */
import type { ServerResponse } from 'node:http';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { describeWith } from '../helpers/programs.ts';
import { intercepted, policy, records } from '../helpers/scene.ts';
import { httpUpstream, type SeenRequest, type Upstream } from '../helpers/upstream.ts';
import { makeWorld, type World } from '../helpers/world.ts';
import { makeSandbox, type Sandbox } from './sandbox.ts';

const PACKED = gzipSync('what was packed stays packed');

function answer({ method, url, body }: SeenRequest, response: ServerResponse): void {
  if (url === '/packed') {
    response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': PACKED.length });
    response.end(PACKED);
  } else if (url === '/blob') {
    response.writeHead(200, { 'content-length': 70_000, 'docker-content-digest': 'sha256:00' });
    response.end(method === 'HEAD' ? undefined : Buffer.alloc(70_000));
  } else response.end(`${method} ${url} ${body.length}`);
}

describeWith(['curl'], 'curl', () => {
  let web: Upstream;
  let world: World;
  let sandbox: Sandbox;
  let at = '';

  beforeAll(async () => {
    web = await httpUpstream({ name: 'api.test', answer });
    at = `api.test:${web.port}`;
    world = await makeWorld({
      policies: { 'agents.yaml': policy([intercepted(at), 'deny: "closed.test", reason: "Ask Ann."']) },
      hosts: { 'api.test': ['127.0.0.1'] },
    });
    sandbox = await makeSandbox(world);
  });
  afterAll(async () => {
    await world.stop();
    await web.close();
  });

  it('shows the reason of a refused CONNECT with -v, and the operator’s words in the body', async () => {
    const refused = await sandbox.run('curl -sv https://evil.test/ || true');
    expect(refused.stderr).toMatch(/HTTP\/1\.1 403 host_not_allowed 0[0-9A-Z]{25}/);
    const plain = await sandbox.run('curl -s http://closed.test/');
    expect(JSON.parse(plain.stdout)).toMatchObject({ reason: 'rule_denied', detail: 'Ask Ann.' });
  });

  it('gets a packed body as it was packed, whether or not it asked for one', async () => {
    const ran = await sandbox.run(
      `curl -fsS https://${at}/packed | gzip -d\ncurl -fsS --compressed https://${at}/packed`,
    );
    expect(ran.status, ran.stderr).toBe(0);
    expect(ran.stdout).toBe('what was packed stays packed'.repeat(2));
  });

  it('learns the length of a blob by HEAD and by GET', async () => {
    const script = `curl -fsSI https://${at}/blob\ncurl -fsS -D - -o blob https://${at}/blob\nwc -c < blob`;
    const ran = await sandbox.run(script);
    expect(ran.status, ran.stderr).toBe(0);
    expect(ran.stdout.match(/content-length: 70000/gi)).toHaveLength(2);
    expect(ran.stdout.trim()).toMatch(/\b70000$/);
  });

  it('sends a body that waits for 100-continue, and one without a length', async () => {
    const script = `head -c 3000000 /dev/zero > big
curl -fsS -H 'Expect: 100-continue' -T big https://${at}/put
head -c 3000000 /dev/zero | curl -fsS -T - https://${at}/chunked`;
    const ran = await sandbox.run(script);
    expect(ran.status, ran.stderr).toBe(0);
    expect(ran.stdout).toBe('PUT /put 3000000PUT /chunked 3000000');
  });

  it('reaches the sandbox’s own services without the proxy, under each name of loopback', async () => {
    const own = await httpUpstream({ host: '::' });
    const names = ['localhost', '127.0.0.1', '[::1]'];
    const ran = await sandbox.run(names.map((name) => `curl -fsS http://${name}:${own.port}/own`).join('\n'));
    await own.close();
    expect(ran.status, ran.stderr).toBe(0);
    expect(own.seen).toHaveLength(names.length);
    expect(await records(world, { path: '/own' })).toHaveLength(0);
  });

  it('is refused at once on 0.0.0.0, which is no way to the proxy’s own machine', async () => {
    const ran = await sandbox.run(`curl -s http://0.0.0.0:${web.port}/zero`);
    expect(JSON.parse(ran.stdout)).toMatchObject({ status: 403, reason: 'host_not_allowed' });
    expect(web.seen.some(({ url }) => url === '/zero')).toBe(false);
  });
});
