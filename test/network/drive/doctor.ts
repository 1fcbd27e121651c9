/** Driver of `test/cli/doctor.test.ts`: a proxy, and `doctor` beside it with the environment that the proxy gives. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { ROOT } from '../../helpers/import-table.ts';
import { runProgram } from '../../helpers/run-program.ts';
import { policy, profile } from '../../helpers/scene.ts';
import { askOnce } from '../../helpers/talk.ts';
import { makeWorld } from '../../helpers/world.ts';

const REAL = 'sk-proj-0123456789abcdefghijklmnopqrstuvwxyz';

async function main(): Promise<void> {
  execFileSync('ip', ['link', 'set', 'lo', 'up']);
  const world = await makeWorld({
    policies: {
      'agents.yaml': policy(['allow: api.test'], { more: 'profile: keys\n' }),
      'profiles/keys.yaml': profile([{ env: 'API_KEY', from: 'env:REAL', hosts: ['api.test'] }]),
    },
    env: { REAL },
  });
  const page = async (at: string): Promise<string> =>
    (
      await askOnce(world.port, `GET ${at} HTTP/1.1\r\nHost: 127.0.0.1:${world.port}\r\n\r\n`)
    ).body.toString();
  for (const [at, file] of [
    ['/ca.pem', 'ca.crt'],
    ['/bundle.pem', 'bundle.crt'],
  ] as const)
    writeFileSync(path.join(world.dir, file), await page(at));
  const text = (await page('/env?format=json')).replaceAll('/etc/sallyport', world.dir);
  const variables: unknown = JSON.parse(text);
  const env = {
    ...Object.fromEntries(Object.entries(variables ?? {})),
    HOME: world.dir,
    PATH: process.env['PATH'] ?? '',
  };
  const doctor = (more: Record<string, string>): ReturnType<typeof runProgram> =>
    runProgram(process.execPath, [path.join(ROOT, 'src/sallyport.js'), 'doctor', '--json'], {
      env: { ...env, ...more },
      cwd: world.dir,
    });
  const well = await doctor({});
  const leaky = await doctor({ OTHER_KEY: REAL });
  const script = path.join(world.dir, 'doctor.sh');
  writeFileSync(script, await page('/doctor.sh'));
  const shell = (
    program: readonly string[],
    more: Record<string, string> = {},
  ): ReturnType<typeof runProgram> =>
    runProgram('env', [...program, script], { env: { ...env, ...more }, cwd: world.dir });
  const dash = await shell(['dash']);
  // No bash, so that another way to connect is tried; no curl either.
  const tools = path.join(world.dir, 'tools');
  mkdirSync(tools);
  for (const name of 'sh wget awk grep sed env cat timeout'.split(' '))
    symlinkSync('/bin/busybox', path.join(tools, name));
  const busybox = await shell(['/bin/busybox', 'sh'], { PATH: tools });
  world.setPolicy('agents.yaml', policy(['allow: api.test'], { more: 'refuse: inside\nprofile: keys\n' }));
  const inside = await doctor({});
  const insideDash = await shell(['dash']);
  execFileSync('ip', ['addr', 'add', '1.1.1.1/32', 'dev', 'lo']);
  const hole = createServer((socket) => socket.end()).listen(443, '1.1.1.1');
  await once(hole, 'listening');
  mkdirSync(path.join(world.dir, '.aws'));
  writeFileSync(
    path.join(world.dir, '.aws/credentials'),
    `[default]\naws_secret_access_key = ${'Zz9/'.repeat(10)}\n`,
  );
  const leakyDash = await shell(['dash'], { OTHER_KEY: REAL, HTTPS_PROXY: '', https_proxy: '' });
  const leakyBusybox = await shell(['/bin/busybox', 'sh'], { PATH: tools, OTHER_KEY: REAL });
  hole.close();
  await world.stop();
  process.stdout.write(
    JSON.stringify({ well, leaky, inside, insideDash, dash, busybox, leakyDash, leakyBusybox }),
  );
}

await main();
