/** pip against an index of our own: a wheel made on the fly, a placeholder as the password of the index, a refusal. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { intercepted, policy, profile } from '../helpers/scene.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';
import { makeWorld, type World } from '../helpers/world.ts';
import { describeClient } from './client.ts';
import { makeSandbox, type Sandbox } from './sandbox.ts';

const REAL = 'pypi-0123456789abcdefghijklmnopqrstuvwxyz';
const WHEEL = 'demo-1.0-py3-none-any.whl';
const MAKE_WHEEL = `
import sys, zipfile
info = "demo-1.0.dist-info/"
with zipfile.ZipFile(sys.argv[1], "w") as wheel:
    wheel.writestr("demo.py", "print('demo works')\\n")
    wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: demo\\nVersion: 1.0\\n")
    wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    wheel.writestr(info + "RECORD", "demo.py,,\\n" + info + "METADATA,,\\n" + info + "WHEEL,,\\n" + info + "RECORD,,\\n")
`;
const INSTALL = 'python3 -m pip install --no-cache-dir --disable-pip-version-check --retries 1 --target site';

describeClient({ name: 'pip', version: 'python3 -m pip --version' }, 'pip', () => {
  let web: Upstream;
  let world: World;
  let sandbox: Sandbox;
  let at = '';

  beforeAll(async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-pip-'));
    execFileSync('python3', ['-c', MAKE_WHEEL, path.join(folder, WHEEL)]);
    const wheel = readFileSync(path.join(folder, WHEEL));
    rmSync(folder, { recursive: true });
    web = await httpUpstream({
      name: 'pypi.test',
      answer: ({ url }, response) => {
        if (url === `/files/${WHEEL}`) return void response.end(wheel);
        response.setHeader('content-type', 'text/html');
        response.end(`<!doctype html><a href="/files/${WHEEL}">${WHEEL}</a>`);
      },
    });
    at = `pypi.test:${web.port}`;
    world = await makeWorld({
      policies: {
        'agents.yaml': policy([intercepted(at)], { more: 'profile: keys\n' }),
        'profiles/keys.yaml': profile([{ env: 'PYPI_TOKEN', from: 'env:REAL', hosts: [at] }]),
      },
      hosts: { 'pypi.test': ['127.0.0.1'] },
      env: { REAL },
    });
    sandbox = await makeSandbox(world);
  });
  afterAll(async () => {
    await world.stop();
    await web.close();
  });

  it('installs a wheel with a placeholder as the password of its index', async () => {
    const ran = await sandbox.run(
      `${INSTALL} --index-url "https://agent:$PYPI_TOKEN@${at}/simple" demo\nPYTHONPATH=site python3 -m demo`,
    );
    expect(ran.status, ran.stderr).toBe(0);
    expect(ran.stdout).toContain('demo works');
    const basic = `Basic ${Buffer.from(`agent:${REAL}`).toString('base64')}`;
    expect(web.seen.map(({ url }) => url)).toEqual(['/simple/demo/', `/files/${WHEEL}`]);
    for (const { headers } of web.seen) expect(headers.authorization).toBe(basic);
  });

  it('shows the reason of a refused index, in its warning before it tries again', async () => {
    const ran = await sandbox.run(`${INSTALL} --index-url https://evil.test/simple demo`);
    expect(ran.status).not.toBe(0);
    expect(ran.stdout + ran.stderr).toMatch(/Tunnel connection failed: 403 host_not_allowed 0[0-9A-Z]{25}/);
  });
});
