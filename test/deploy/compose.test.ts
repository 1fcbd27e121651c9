/** deploy/compose against itself and against the product: who is on which network, what is open where, what each may do. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import ipaddr from 'ipaddr.js';
import { describe, expect, it } from 'vitest';
import { ROUTES } from '../../src/admin/routes.ts';
import { loadPolicies } from '../../src/config/load.ts';
import { loadSettings, type Settings } from '../../src/config/settings.ts';
import { COMPOSE_DIR, type ComposeService, isLoose, loose, readCompose, texts } from '../helpers/compose.ts';

const compose = readCompose();
const FILES = [
  'compose.yaml',
  'compose.console.yaml',
  'compose.transparent.yaml',
  'compose.alertmanager.yaml',
  'compose.redis.yaml',
] as const;
const TEXT = FILES.map((file) => readFileSync(path.join(COMPOSE_DIR, file), 'utf8')).join('\n');

function service(name: string, from = compose): ComposeService {
  const found = from.services.get(name);
  if (found === undefined) throw new Error(`no service ${name}`);
  return found;
}

/** The settings of the proxy's container; with a further compose file laid over it. */
function settingsWith(file: 'compose.yaml' | 'compose.console.yaml' | 'compose.transparent.yaml'): Settings {
  const env = Object.fromEntries(service('sallyport', readCompose(file)).environment);
  const loaded = loadSettings({ file: path.join(COMPOSE_DIR, 'sallyport.yaml'), env, cwd: COMPOSE_DIR });
  if (!('settings' in loaded)) throw new Error(JSON.stringify(loaded.problems));
  return loaded.settings;
}

function within(address: string, range: string): boolean {
  return ipaddr.parse(address).match(ipaddr.parseCIDR(range));
}

describe('the networks', () => {
  const inside = [...compose.networks].filter(([, { internal }]) => internal).map(([name]) => name);

  it('keep the sandbox on one that has no way out and no host on it', () => {
    expect([...service('sandbox').networks.keys()]).toEqual(['agents']);
    expect(compose.networks.get('agents')).toMatchObject({ internal: true, isolated: true });
    for (const name of inside) expect(compose.networks.get(name)?.isolated, name).toBe(true);
  });

  it("have the proxy alone on both the sandboxes' and one with a way out", () => {
    const of = (network: string): string[] =>
      [...compose.services].filter(([, one]) => one.networks.has(network)).map(([name]) => name);
    expect(of('agents')).toEqual(['sallyport', 'sandbox']);
    expect(of('uplink')).toEqual(['sallyport']);
    expect(of('monitoring')).toEqual(['sallyport', 'prometheus', 'grafana']);
    for (const [name, one] of compose.services)
      for (const network of one.networks.keys())
        expect(compose.networks.has(network), `${name}: ${network}`).toBe(true);
  });

  it('have each fixed address in its subnet and outside the range that Docker hands out', () => {
    for (const [network, fixed] of service('sallyport').networks) {
      const { subnet = '', range = '' } = compose.networks.get(network) ?? {};
      expect(within(fixed, subnet), network).toBe(true);
      if (range !== '') expect(within(fixed, range), network).toBe(false);
    }
  });

  it('publish no port of the proxy, and to people none but on loopback', () => {
    expect(service('sallyport').ports).toEqual([]);
    const published = FILES.flatMap((file) =>
      [...readCompose(file).services.values()].flatMap(({ ports }) => ports),
    );
    expect(published).toEqual(['127.0.0.1:3000:3000', '127.0.0.1:9090:9090']);
  });

  it('carry no IPv6', () => {
    for (const file of FILES)
      for (const [name, one] of Object.entries(loose(readCompose(file).raw['networks'])))
        expect(loose(one)['enable_ipv6'], name).toBe(false);
  });
});

describe('every container', () => {
  const own = FILES.flatMap((file) => {
    const read = readCompose(file);
    return [...read.services].map(([name, { raw }]) => ({ file, name, raw, top: read.raw }));
  });
  const images = own.filter(({ raw }) => 'image' in raw);

  it('is looked at here, those of files laid over it as well', () => {
    expect(images.map(({ name }) => name)).toEqual(expect.arrayContaining(['sallyport', 'alertmanager']));
  });

  for (const { name, raw } of images)
    it(`may do no more than it needs: ${name}`, () => {
      expect(raw).toMatchObject({
        read_only: true,
        cap_drop: ['ALL'],
        security_opt: ['no-new-privileges:true'],
      });
      expect(raw).not.toHaveProperty('privileged');
      expect(raw).not.toHaveProperty('cap_add');
      expect(raw).not.toHaveProperty('network_mode');
      expect(String(raw['user'])).toMatch(/^[1-9]\d*:[1-9]\d*$/);
      expect(String(raw['image'])).toMatch(/^[a-z/-]+:v?\d+\.\d+\.\d+$/);
      expect(raw).toHaveProperty('mem_limit');
      expect(raw).toHaveProperty('pids_limit');
      expect(JSON.stringify(raw)).not.toContain('docker.sock');
    });

  for (const { file, name, raw, top } of own)
    it(`names volumes, secrets and files that there are: ${name} of ${file}`, () => {
      for (const secret of texts(raw['secrets'])) {
        const { file } = loose(loose(top['secrets'])[secret]);
        expect(String(file), secret).toBe(`./secrets/${secret}`);
      }
      for (const mount of texts(raw['volumes'])) {
        const [from = '', to = '', mode] = mount.split(':');
        if (!from.startsWith('.')) expect(loose(top['volumes']), from).toHaveProperty(from);
        else {
          expect(mode, `${from} is read-only`).toBe('ro');
          expect(existsSync(path.join(COMPOSE_DIR, from)), from).toBe(true);
        }
        expect(to.startsWith('/')).toBe(true);
      }
    });

  it('holds no key: secrets are files, and nothing in the environment looks like one', () => {
    const names = [...compose.services.values()].flatMap(({ environment }) => [...environment.keys()]);
    expect(names.filter((one) => /KEY|TOKEN|PASS|SECRET/.test(one) && !one.endsWith('_FILE'))).toEqual([]);
    expect(readFileSync(path.join(COMPOSE_DIR, 'secrets/.gitignore'), 'utf8')).toBe('*\n!.gitignore\n');
  });
});

describe('the proxy', () => {
  it('opens each port on the one network it is meant for', () => {
    const at = service('sallyport').networks;
    const settings = settingsWith('compose.yaml');
    expect(settings.proxy.listen).toEqual({ host: at.get('agents'), port: 8080 });
    expect(settings.admin.listen).toEqual({ host: '127.0.0.1', port: 9090 });
    expect(settings.metrics.listen).toEqual({ host: at.get('monitoring'), port: 9091 });
    expect(settingsWith('compose.console.yaml').admin.listen).toEqual({ host: at.get('uplink'), port: 9090 });
    const { tls, http, dns, address } = settingsWith('compose.transparent.yaml').transparent;
    expect([tls?.host, http?.host, dns?.host, address]).toEqual(Array(4).fill(at.get('agents')));
    expect([tls?.port, http?.port, dns?.port]).toEqual([443, 80, 53]);
  });

  it('is what the sandbox is told: its name, its DNS, and the ports that verify.sh must find shut', () => {
    const { environment, raw } = service('sandbox');
    const agents = service('sallyport').networks.get('agents') ?? '';
    expect(raw['extra_hosts']).toEqual([`sallyport:${agents}`]);
    expect(raw['dns']).toEqual([agents]);
    expect(environment.get('VERIFY_PROXY')).toBe('http://sallyport:8080');
    const closed = environment.get('VERIFY_CLOSED')?.split(' ') ?? [];
    for (const file of ['compose.yaml', 'compose.console.yaml'] as const) {
      const { admin, metrics } = settingsWith(file);
      const open = [admin.listen, metrics.listen].filter((one) => one !== null && one.host !== '127.0.0.1');
      expect(closed).toEqual(expect.arrayContaining(open.map((one) => `${one?.host}:${one?.port}`)));
    }
  });

  it('is asked for its health where it answers, and is given longer to stop than it drains', () => {
    const raw = service('sallyport').raw;
    expect(loose(raw['healthcheck'])['test']).toEqual(['CMD', 'node', '/app/healthcheck.js']);
    const script = readFileSync(path.join(COMPOSE_DIR, '../docker/healthcheck.js'), 'utf8');
    const [, route = ''] = /'http:\/\/127\.0\.0\.1:9090(\/\w+)'/.exec(script) ?? [];
    expect(ROUTES.map((one) => one.path)).toContain(route);
    const console = service('sallyport', readCompose('compose.console.yaml')).environment;
    expect(console.get('HEALTHCHECK_URL')).toBe(`http://${console.get('SALLYPORT_ADMIN_LISTEN')}${route}`);
    expect(Number.parseInt(String(raw['stop_grace_period']), 10) * 1000).toBeGreaterThan(
      settingsWith('compose.yaml').proxy.drainMs,
    );
  });

  it('gets policies whose group is the network of the sandboxes', () => {
    const [, from = ''] = /SALLYPORT_POLICIES:-([^}]+)\}/.exec(TEXT) ?? [];
    const loaded = loadPolicies(path.resolve(COMPOSE_DIR, from));
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
    expect(TEXT).toContain('subnet: 172.25.0.0/16');
    const text = readFileSync(path.resolve(COMPOSE_DIR, from, 'openclaw.yaml'), 'utf8');
    expect(text).toContain('sources: [172.25.0.0/16]');
  });
});

describe('.env.example', () => {
  it('has every variable with the default that the compose files have', () => {
    const used = new Map(
      [...TEXT.matchAll(/\$\{(\w+):-([^}]*)\}/g)].map(([, name = '', value = '']) => [name, value]),
    );
    const lines = readFileSync(path.join(COMPOSE_DIR, '.env.example'), 'utf8').match(/^[A-Z_]+=.*$/gm) ?? [];
    const written = lines.map((line) => line.split('=', 2) as [string, string]);
    expect(new Map(written)).toEqual(used);
    // Nothing may stay empty unnoticed: each variable has a default.
    expect(TEXT.match(/\$\{\w+\}/g)).toBeNull();
    expect(isLoose(compose.raw['services'])).toBe(true);
  });
});
