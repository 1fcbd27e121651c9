/**
 * `/install.sh` run for real: this Debian in an overlay that goes away with its mount namespace, by dash and busybox; then
 * clients with nothing but what the script left. Red Hat is simulated (a stub of update-ca-trust that does what
 * the real one does to the bundle), a system with neither tool by a folder; no real Alpine or Red Hat was run.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasNamespaces, hasProgram } from '../helpers/programs.ts';
import { type Ran, runProgram } from '../helpers/run-program.ts';
import { intercepted, policy, profile, records } from '../helpers/scene.ts';
import { askOnce } from '../helpers/talk.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';
import { makeWorld, type World } from '../helpers/world.ts';

const REAL = 'sk-proj-0123456789abcdefghijklmnopqrstuvwxyz';
const OVERLAY = `set -e
mount -t tmpfs tmpfs "$FOLDER"
mkdir "$FOLDER/upper" "$FOLDER/work" "$FOLDER/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$FOLDER/upper,workdir=$FOLDER/work" "$FOLDER/root"
mount --rbind /dev "$FOLDER/root/dev"
mount -t proc proc "$FOLDER/root/proc"
mkdir -p "$FOLDER/root/kit"
cat "$SCRIPT" >"$FOLDER/root/kit/install.sh"
cd "$FOLDER/root"
`;
/** Lines of the report that are neither about the unchanged nor about what was left out. */
const changes = (report: string): string[] =>
  report.split('\n').filter((line) => /^ {2}(?:wrote|ran|removed|would|failed)/.test(line));

function treeOf(folder: string): Record<string, string> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((one) => one.isFile());
  return Object.fromEntries(
    files.map((one): [string, string] => {
      const file = path.join(one.parentPath, one.name);
      return [path.relative(folder, file), createHash('sha256').update(readFileSync(file)).digest('hex')];
    }),
  );
}

describe('/install.sh', () => {
  let world: World;
  let web: Upstream;
  let folder = '';
  let at = '';
  let script = '';

  beforeAll(async () => {
    for (const program of ['curl', 'busybox', 'dash']) hasProgram(program);
    web = await httpUpstream({ name: 'api.test' });
    at = `api.test:${web.port}`;
    world = await makeWorld({
      policies: {
        'agents.yaml': policy([intercepted(at)], { more: 'profile: keys\n' }),
        'profiles/keys.yaml': profile([{ env: 'API_KEY', from: 'env:REAL', hosts: [at] }]),
      },
      hosts: { 'api.test': ['127.0.0.1'] },
      env: { REAL },
    });
    folder = mkdtempSync(path.join(tmpdir(), 'sallyport-install-'));
    script = path.join(folder, 'install.sh');
    const host = `Host: 127.0.0.1:${world.port}`;
    const answer = await askOnce(world.port, `GET /install.sh HTTP/1.1\r\n${host}\r\n\r\n`);
    expect(answer.status).toBe(200);
    writeFileSync(script, answer.body);
  });
  afterAll(async () => {
    await world.stop();
    await web.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const env = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root' };
  const fresh = (): string => mkdtempSync(path.join(folder, 'part-'));

  /** Runs a shell script with an overlay of this machine as its root; `/kit/install.sh` is there. */
  function inOverlay(text: string): Promise<Ran> {
    const more = { ...env, FOLDER: fresh(), SCRIPT: script, TEXT: text };
    const enter = `${OVERLAY}exec chroot . sh -ec "$TEXT"`;
    return runProgram('unshare', ['-m', 'sh', '-ec', enter], { env: more, cwd: '/' });
  }

  /** Runs the script on the home folder or, by `--root`, on a folder. */
  const install = (shell: readonly string[], args: readonly string[], home = '/root'): Promise<Ran> =>
    runProgram(shell[0] ?? '', [...shell.slice(1), script, ...args], {
      env: { ...env, HOME: home },
      cwd: folder,
    });

  it.skipIf(!hasNamespaces())(
    'lets clients of this Debian through, with variables and without, and changes nothing when run again',
    async () => {
      const state = `find /etc/sallyport /etc/profile.d /etc/apt/apt.conf.d /etc/gitconfig /etc/wgetrc /etc/bash.bashrc \
        /etc/chromium /etc/opt /etc/ssl/certs /usr/local/share/ca-certificates -type f -exec sha256sum {} + | sort`;
      const header = '"Authorization: Bearer $API_KEY"';
      const ran = await inOverlay(`
        dash /kit/install.sh; ${state} >/kit/first
        echo == again; busybox ash /kit/install.sh; ${state} >/kit/second; cmp /kit/first /kit/second
        echo == clients
        clean() { env -i HOME=/root PATH="$PATH" "$@"; }
        clean sh -lc 'curl -fsS -H ${header} https://${at}/curl'; echo
        clean bash -lc 'python3 -c "import os, urllib.request as u; print(u.urlopen(u.Request(\\"https://${at}/python\\", headers={\\"Authorization\\": \\"Bearer \\" + os.environ[\\"API_KEY\\"]})).read().decode())"'
        key=$(clean sh -lc 'echo $API_KEY')
        clean wget -q -O - --header "Authorization: Bearer $key" https://${at}/wget; echo
        clean git ls-remote git@github.com:some/where.git || :
        clean apt-config dump Acquire::https::Proxy
        if command -v /usr/bin/node >/dev/null; then clean sh -lc '/usr/bin/node -e "fetch(\\"https://${at}/node\\").then(async (a) => console.log(await a.text()))"'; else echo 'GET /node 0'; fi
        echo == undone; dash /kit/install.sh --uninstall
        if grep -rl sallyport /etc/gitconfig /etc/wgetrc /etc/bash.bashrc /etc/apt /etc/profile.d /etc/ssl/certs; then exit 3; fi
        if grep -F "$(sed -n "s/^ca_mark='\\(.*\\)'/\\1/p" /kit/install.sh)" /etc/ssl/certs/ca-certificates.crt; then exit 4; fi
        ls /etc/sallyport /usr/local/share/ca-certificates/sallyport.crt 2>/dev/null || echo gone`);
      const [first = '', again = '', clients = '', undone = ''] = ran.stdout.split(/^== \w+\n/m);
      expect(ran.status, ran.stdout + ran.stderr).toBe(0);
      expect(changes(first).length).toBeGreaterThan(10);
      expect(changes(first).join('\n')).not.toContain('failed');
      expect(changes(again)).toEqual([]);
      for (const client of ['curl', 'python', 'wget', 'node']) expect(clients).toContain(`GET /${client} 0`);
      expect(clients).toContain(`Acquire::https::Proxy "http://127.0.0.1:${world.port}";`);
      const swapped = web.seen.filter((one) => one.headers.authorization === `Bearer ${REAL}`);
      expect(swapped).toHaveLength(3);
      // git@ became https:// and went to the proxy, with no variable set.
      expect(await records(world, { host: 'github.com', port: 443, reason: 'host_not_allowed' })).not.toEqual(
        [],
      );
      expect(undone).toContain('gone');
      expect(changes(undone).join('\n')).not.toContain('failed');
      expect(first + again + undone).not.toContain(REAL);
    },
    180_000,
  );

  it.skipIf(!hasNamespaces())(
    'installs by update-ca-trust where that is the tool (a stub), and curl gets through',
    async () => {
      const ran = await inOverlay(`
        rm -f /usr/sbin/update-ca-certificates /usr/bin/update-ca-certificates /usr/bin/keytool /usr/bin/npm
        mkdir -p /etc/pki/ca-trust/extracted/pem /etc/pki/ca-trust/source/anchors
        mv /etc/ssl/certs/ca-certificates.crt /etc/pki/roots
        printf '#!/bin/sh\\ncat /etc/pki/roots /etc/pki/ca-trust/source/anchors/* >/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem\\n' >/usr/bin/update-ca-trust
        chmod +x /usr/bin/update-ca-trust; update-ca-trust 2>/dev/null || :
        : >/etc/bashrc
        busybox ash /kit/install.sh; echo == again; dash /kit/install.sh; echo == clients
        cmp /etc/sallyport/bundle.crt /etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem
        grep -c sallyport /etc/bashrc
        env -i HOME=/root PATH="$PATH" sh -lc 'curl -fsS https://${at}/redhat'`);
      expect(ran.status, ran.stdout + ran.stderr).toBe(0);
      const [first = '', again = '', clients = ''] = ran.stdout.split(/^== \w+\n/m);
      expect(changes(first)).toContain('  ran       update-ca-trust');
      expect(changes(again)).toEqual([]);
      expect(clients).toContain('GET /redhat 0');
    },
    120_000,
  );

  it.skipIf(!hasNamespaces())(
    "does all of it for a root without a capability, as OpenClaw's setupCommand has it",
    async () => {
      const ran = await inOverlay(`
        rm -f /usr/bin/keytool /usr/bin/npm
        none='setpriv --bounding-set=-all --inh-caps=-all --no-new-privs'
        cat /kit/install.sh | $none sh; echo == clients
        env -i HOME=/root PATH="$PATH" $none sh -lc 'curl -fsS https://${at}/openclaw'`);
      expect(ran.status, ran.stdout + ran.stderr).toBe(0);
      const [first = '', clients = ''] = ran.stdout.split(/^== \w+\n/m);
      expect(changes(first).join('\n')).toContain('update-ca-certificates');
      expect(changes(first).join('\n')).not.toContain('failed');
      expect(clients).toContain('GET /openclaw 0');
    },
    120_000,
  );

  it('adds the CA to the bundle once where there is no tool, and --uninstall gives every byte back', async () => {
    const root = fresh();
    const put = (name: string, text: string): void => {
      mkdirSync(path.dirname(path.join(root, name)), { recursive: true });
      writeFileSync(path.join(root, name), text);
    };
    put('etc/ssl/cert.pem', '-----BEGIN CERTIFICATE-----\nROOTS\n-----END CERTIFICATE-----\n');
    put('etc/gitconfig', '[user]\n\tname = somebody\n');
    put('etc/pip.conf', '[global]\nindex-url = https://pypi.test/simple\n');
    const before = treeOf(root);
    const dry = await install(['busybox', 'ash'], ['--root', root, '--dry-run']);
    expect(changes(dry.stdout)).not.toEqual([]);
    expect(treeOf(root)).toEqual(before);
    const first = await install(['busybox', 'ash'], ['--root', root]);
    expect(first).toMatchObject({ status: 0, stderr: '' });
    expect(first.stdout).toContain('skipped   /etc/pip.conf');
    const installed = treeOf(root);
    const again = await install(['dash'], ['--prefix', root]);
    expect(changes(again.stdout)).toEqual([]);
    expect(treeOf(root)).toEqual(installed);
    const bundle = readFileSync(path.join(root, 'etc/sallyport/bundle.crt'), 'utf8');
    expect(bundle).toContain('ROOTS');
    expect(bundle.split(world.caPem.trim())).toHaveLength(2);
    const policyFile = path.join(root, 'etc/chromium/policies/managed/sallyport.json');
    const der = world.caPem.replace(/-----[^-]*-----|\n/g, '');
    expect(JSON.parse(readFileSync(policyFile, 'utf8'))).toEqual({ CACertificates: [der] });
    expect(await install(['bash'], ['--root', root, '--uninstall'])).toMatchObject({ status: 0, stderr: '' });
    expect(treeOf(root)).toEqual(before);
  });

  it('fetches the public roots where the system has none', async () => {
    const root = fresh();
    expect(await install(['dash'], ['--root', root])).toMatchObject({ status: 0 });
    const bundle = readFileSync(path.join(root, 'etc/sallyport/bundle.crt'), 'utf8');
    expect(bundle.split('BEGIN CERTIFICATE').length).toBeGreaterThan(50);
    expect(bundle).toContain(world.caPem.trim());
  });

  it('with --user writes below the home folder alone, and takes it away again', async () => {
    const home = fresh();
    writeFileSync(path.join(home, '.bashrc'), '# no end of line');
    const ran = await install(['dash'], ['--user'], home);
    expect(ran).toMatchObject({ status: 0, stderr: '' });
    const paths =
      changes(ran.stdout)
        .join('\n')
        .match(/ \/\S+/g) ?? [];
    expect(paths.length).toBeGreaterThan(5);
    expect(paths.filter((one) => !one.startsWith(` ${home}/`))).toEqual([]);
    const curl = await runProgram(
      'bash',
      ['-c', `. ${home}/.bashrc; curl -fsS https://${at}/user; printf ' %s' "$NODE_OPTIONS"`],
      { env: { ...env, HOME: home }, cwd: home },
    );
    expect(curl.stdout).toBe(`GET /user 0 --require ${home}/.sallyport/preload.cjs`);
    await install(['busybox', 'ash'], ['--user', '--uninstall'], home);
    expect(Object.keys(treeOf(home)).filter((one) => !/^\.(?:pki|npm)\//.test(one))).toEqual(['.bashrc']);
  });

  it('does nothing when the download broke off, wherever that was', async () => {
    const text = readFileSync(script);
    const cuts = [0.1, 0.5, 0.9].map((part) => Math.floor(text.length * part));
    const last = text.lastIndexOf('{ main');
    for (let at = last; at < text.length - 2; at += 1) cuts.push(at);
    const home = fresh();
    for (const cut of cuts) {
      // `set -- --user`: were it to start, it would be below the home folder.
      const prelude = Buffer.from('set -- --user\n');
      writeFileSync(path.join(home, 'cut.sh'), Buffer.concat([prelude, text.subarray(0, cut)]));
      await runProgram('dash', [path.join(home, 'cut.sh')], { env: { ...env, HOME: home }, cwd: home });
    }
    expect(Object.keys(treeOf(home))).toEqual(['cut.sh']);
  });

  it.each([['--nonsense'], ['--root'], ['--root', '/no/such/folder']])('refuses %s %s', async (...args) => {
    expect(await install(['dash'], args)).toMatchObject({ status: 2, stdout: '' });
  });
});
