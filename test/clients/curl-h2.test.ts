/** curl over HTTP/2: where the rule prefers it, and in full width: upload, download, a swapped key, a refusal. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { describeWith } from '../helpers/programs.ts';
import { intercepted, policy } from '../helpers/scene.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';
import { makeWorld, type World } from '../helpers/world.ts';
import { makeSandbox, type Sandbox } from './sandbox.ts';

describeWith(['curl'], 'curl over HTTP/2', () => {
  let web: Upstream;
  let world: World;
  let sandbox: Sandbox;
  let at = '';

  beforeAll(async () => {
    web = await httpUpstream({
      name: 'api.test',
      answer: ({ method, url, body }, response) => {
        if (url === '/large') response.end(Buffer.alloc(3_000_000, 'l'));
        else response.end(`${method} ${url} ${body.length}`);
      },
    });
    at = `api.test:${web.port}`;
    world = await makeWorld({
      policies: { 'agents.yaml': policy([intercepted(at, 'http2: prefer')]) },
      hosts: { 'api.test': ['127.0.0.1'] },
    });
    sandbox = await makeSandbox(world);
  });
  afterAll(async () => {
    await world.stop();
    await web.close();
  });

  it('is spoken by default, and http/1.1 on demand', async () => {
    const ran = await sandbox.run(
      `curl -fsS -w ' %{http_version}\\n' https://${at}/a\ncurl -fsS --http1.1 -w ' %{http_version}\\n' https://${at}/b`,
    );
    expect(ran.stdout).toBe('GET /a 0 2\nGET /b 0 1.1\n');
  });

  it('uploads and downloads pass whole', async () => {
    const ran = await sandbox.run(
      `head -c 2000000 /dev/zero > up\ncurl -fsS -T up https://${at}/up\necho\ncurl -fsS -o down https://${at}/large\nwc -c < down`,
    );
    expect(ran.stdout.trim().split('\n')).toEqual(['PUT /up 2000000', '3000000']);
  });

  it('several transfers share one connection', async () => {
    const ran = await sandbox.run(
      `curl -fsS -w ' %{num_connects}\\n' https://${at}/1 https://${at}/2 https://${at}/3`,
    );
    expect(ran.stdout).toBe('GET /1 0 1\nGET /2 0 0\nGET /3 0 0\n');
  });

  it('a refused request shows its reason', async () => {
    const ran = await sandbox.run(`curl -sS -X PATCH -w ' %{http_version} %{http_code}' https://${at}/no`);
    expect(ran.stdout).toMatch(/method_not_allowed[\s\S]* 2 403$/);
  });
});
