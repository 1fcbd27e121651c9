/** `doctor` as a process in network namespaces of the test's own: one with no way out, one with a hole. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ROOT } from '../helpers/import-table.ts';
import { describeInNamespace, driveInNamespace } from '../helpers/netns.ts';
import { type Ran, runProgram } from '../helpers/run-program.ts';

const HOLE = `require('net').createServer((socket) => socket.end()).listen(443, '1.1.1.1', () => console.log('open'));
const dns = require('dgram').createSocket('udp4', (bytes, from) => dns.send(bytes, from.port, from.address));
dns.bind(53, '8.8.8.8');`;

describeInNamespace('doctor', () => {
  let home = '';
  beforeAll(() => {
    home = mkdtempSync(path.join(tmpdir(), 'doctor-'));
  });
  afterAll(() => rmSync(home, { recursive: true, force: true }));

  type Beside = Readonly<
    Record<
      'well' | 'leaky' | 'inside' | 'insideDash' | 'dash' | 'busybox' | 'leakyDash' | 'leakyBusybox',
      Ran
    >
  >;
  let driven: Promise<Beside> | null = null;
  const beside = (): Promise<Beside> => {
    const script = new URL('../network/drive/doctor.ts', import.meta.url);
    driven ??= driveInNamespace<Beside>(script, { limitMs: 120_000 });
    return driven;
  };

  function doctor(before: string, args = ''): Promise<Ran> {
    const env = { PATH: '/usr/bin:/bin:/usr/sbin:/sbin', HOME: home, NODE: process.execPath, HOLE };
    const start = `"$NODE" '${ROOT}/src/sallyport.js' doctor ${args}`;
    return runProgram('unshare', ['-n', 'sh', '-c', `ip link set lo up\n${before}\n${start}`], {
      env,
      cwd: home,
    });
  }

  it('finds no way out where there is none, and that no proxy is named', async () => {
    const ran = await doctor('');
    expect(ran.status, ran.stderr).toBe(1);
    expect(ran.stdout).toMatch(/^ok +direct TCP/m);
    expect(ran.stdout).toMatch(/^ok +direct DNS/m);
    expect(ran.stdout).toMatch(/^ok +system resolver/m);
    expect(ran.stdout).toMatch(/^fail +proxy +HTTPS_PROXY names none\n +-> eval/m);
    expect(ran.stderr).toBe('');
  });

  it('knows a refusal that is told inside TLS', async () => {
    const { inside, insideDash } = await beside();
    expect(inside.status, inside.stdout).toBe(0);
    expect(insideDash.status, insideDash.stdout).toBe(0);
    expect(insideDash.stdout).toMatch(/^ok +curl +asks the proxy$/m);
  }, 150_000);

  it('needs no Node: doctor.sh finds the same by dash with curl, and by busybox with its wget', async () => {
    const { dash, busybox, leakyDash, leakyBusybox } = await beside();
    for (const ran of [dash, busybox]) {
      expect(ran.status, ran.stdout + ran.stderr).toBe(0);
      expect(ran.stderr).toBe('');
      expect(ran.stdout).toMatch(/^ok +direct TCP/m);
      expect(ran.stdout).toMatch(
        /^ok +proxy +http:\/\/127\.0\.0\.1:\d+: group agents, identity group:agents$/m,
      );
      expect(ran.stdout).toMatch(/^ok +trust by variables/m);
      expect(ran.stdout).toMatch(/^ok +real keys/m);
    }
    for (const program of ['curl', 'git', 'python3', 'node'])
      expect(dash.stdout).toMatch(new RegExp(`^ok +${program} +asks the proxy$`, 'm'));
    for (const ran of [leakyDash, leakyBusybox]) {
      expect(ran.status, ran.stderr).toBe(1);
      expect(ran.stdout).toMatch(/^fail +direct TCP +reached without the proxy: 1\.1\.1\.1 port 443$/m);
      expect(ran.stdout).toContain('variable OTHER_KEY (sk-proj-…), ');
      expect(ran.stdout).toContain('/.aws/credentials:2 (a secret by its name)');
      expect(ran.stdout).not.toContain('0123456789');
      expect(ran.stdout).not.toContain('Zz9');
    }
    expect(leakyDash.stdout).toMatch(/^fail +proxy +HTTPS_PROXY names none$/m);
  }, 150_000);

  it('finds all well beside a proxy with the environment that it gives, and a real key where there is one', async () => {
    const { well, leaky } = await beside();
    const list = JSON.parse(well.stdout) as { check: string; status: string; detail: string }[];
    const wrong = list.filter(({ status, check }) => status !== 'ok' && check !== 'trust by the system');
    expect(wrong, well.stderr).toEqual([]);
    expect(list.map(({ check }) => check)).toEqual(
      expect.arrayContaining(['curl', 'git', 'python3', 'node']),
    );
    expect(well.status).toBe(0);
    expect(leaky.status).toBe(1);
    expect(leaky.stdout).toContain('variable OTHER_KEY (sk-proj-…)');
    expect(leaky.stdout).not.toContain('0123456789');
  }, 150_000);

  it('finds an address and a name server that can be reached', async () => {
    const hole =
      'ip addr add 1.1.1.1/32 dev lo; ip addr add 8.8.8.8/32 dev lo\n"$NODE" -e "$HOLE" >open & hole=$!; trap "kill $hole" EXIT\nuntil [ -s open ]; do sleep 0.05; done';
    const ran = await doctor(hole, '--json');
    expect(ran.status, ran.stderr).toBe(1);
    const list: unknown = JSON.parse(ran.stdout);
    expect(list).toContainEqual(
      expect.objectContaining({
        check: 'direct TCP',
        status: 'fail',
        detail: 'reached without the proxy: 1.1.1.1 port 443',
      }),
    );
    expect(list).toContainEqual(
      expect.objectContaining({
        check: 'direct DNS',
        status: 'fail',
        detail: 'name servers answer: 8.8.8.8',
      }),
    );
  });
});
