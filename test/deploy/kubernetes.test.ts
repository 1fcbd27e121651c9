/** deploy/kubernetes against itself and the product: names, ports, who reaches whom, what each pod may do, and its mounts. */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { ensureInstall } from '../../src/cli/install.ts';
import { loadPolicies } from '../../src/config/load.ts';
import { runTests } from '../../src/config/run-tests.ts';
import { loadSettings, type Settings } from '../../src/config/settings.ts';
import { buildSourceTable } from '../../src/policy/source-table.ts';
import { loose, text, texts } from '../helpers/compose.ts';
import { ROOT } from '../helpers/import-table.ts';
import { hasProgram } from '../helpers/programs.ts';
import {
  below,
  KUBERNETES,
  type Loose,
  list,
  type Manifest,
  manifests,
  mayConnect,
  type Peer,
} from './manifests.ts';

const ALL = manifests();

function one(kind: string, name: string): Loose {
  const found = ALL.filter((each) => each.kind === kind && each.name === name);
  if (found.length !== 1 || found[0] === undefined) throw new Error(`${found.length} of ${kind} ${name}`);
  return found[0].raw;
}

const WORKLOADS = ALL.filter(({ kind }) => kind === 'StatefulSet' || kind === 'Deployment');
const podOf = ({ raw }: Pick<Manifest, 'raw'>): Loose => below(raw, 'spec', 'template', 'spec');
const containersOf = (pod: Loose): Loose[] => [...list(pod['initContainers']), ...list(pod['containers'])];
const PROXY = podOf({ raw: one('StatefulSet', 'sallyport') });
const [CONTAINER = {}] = list(PROXY['containers']);
const SETTINGS_TEXT = text(below(one('ConfigMap', 'sallyport-settings'), 'data')['sallyport.yaml']);

/** The settings as the pod reads them; `moved` takes the place of each folder. */
function settings(moved: (folder: string) => string = (folder) => folder): Settings {
  const dir = mkdtempSync(path.join(tmpdir(), 'sallyport-k8s-settings-'));
  const file = path.join(dir, 'sallyport.yaml');
  writeFileSync(file, SETTINGS_TEXT.replaceAll(/\/(?:etc|var)\/[\w/]+/g, moved));
  const loaded = loadSettings({ file, env: {}, cwd: dir });
  rmSync(dir, { recursive: true });
  if (!('settings' in loaded)) throw new Error(JSON.stringify(loaded.problems));
  return loaded.settings;
}

describe('the kustomizations', () => {
  it('name every manifest beside them, and nothing that is not there', () => {
    for (const folder of ['.', 'monitoring', 'agents', 'redis']) {
      const dir = path.join(KUBERNETES, folder);
      const named = texts(
        loose(parse(readFileSync(path.join(dir, 'kustomization.yaml'), 'utf8')))['resources'],
      );
      const there = readdirSync(dir).filter(
        (name) => name.endsWith('.yaml') && name !== 'kustomization.yaml' && !name.includes('.example.'),
      );
      expect([...named].sort(), folder).toEqual(there.sort());
    }
  });

  it('have policies, alerts and dashboards as the rest of the repository has them', () => {
    const { status, stderr } = spawnSync(
      process.execPath,
      [path.join(KUBERNETES, 'generate.ts'), '--check'],
      {
        encoding: 'utf8',
      },
    );
    expect(stderr).toBe('');
    expect(status).toBe(0);
  });
});

describe('every ConfigMap', () => {
  it('is small enough for kubectl, which keeps the last one in an annotation of 256 KiB', () => {
    const maps = ALL.filter(({ kind }) => kind === 'ConfigMap');
    expect(maps.length).toBeGreaterThan(5);
    for (const { name, raw } of maps) expect(JSON.stringify(raw).length, name).toBeLessThan(200_000);
  });
});

describe('every pod', () => {
  for (const workload of WORKLOADS) {
    const pod = podOf(workload);
    it(`may do no more than it needs: ${workload.name}`, () => {
      expect(pod).toMatchObject({ automountServiceAccountToken: false, enableServiceLinks: false });
      expect(pod['securityContext']).toMatchObject({
        runAsNonRoot: true,
        seccompProfile: { type: 'RuntimeDefault' },
      });
      for (const key of ['hostNetwork', 'hostPID', 'hostIPC']) expect(pod).not.toHaveProperty(key);
      for (const container of containersOf(pod)) {
        expect(container['securityContext']).toEqual({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        });
        expect(text(container['image'])).toMatch(/:\d+\.\d+\.\d+$/);
        expect(below(container, 'resources', 'requests')).toHaveProperty('memory');
        expect(below(container, 'resources', 'limits')).toHaveProperty('memory');
        expect(JSON.stringify(container['env'] ?? [])).not.toMatch(/KEY|TOKEN|PASS|SECRET/);
      }
    });

    it(`mounts volumes that it has, and has none that nobody mounts: ${workload.name}`, () => {
      const claims = list(below(workload.raw, 'spec')['volumeClaimTemplates']).map((claim) =>
        below(claim, 'metadata'),
      );
      const volumes = [...list(pod['volumes']), ...claims].map(({ name }) => text(name));
      const mounts = containersOf(pod).flatMap((each) =>
        list(each['volumeMounts']).map(({ name }) => text(name)),
      );
      expect([...new Set(mounts)].sort()).toEqual(volumes.sort());
      for (const volume of list(pod['volumes'])) {
        expect(volume).not.toHaveProperty('hostPath');
        const map = text(below(volume, 'configMap')['name']);
        if (map !== '') one('ConfigMap', map);
      }
    });

    it(`is what selectors, budget and scaling mean: ${workload.name}`, () => {
      const labels = below(workload.raw, 'spec', 'template', 'metadata', 'labels');
      expect(below(workload.raw, 'spec', 'selector', 'matchLabels')).toEqual(labels);
    });
  }

  it('lives in a namespace that admits restricted pods alone', () => {
    for (const { kind, name, raw } of ALL.filter((each) => each.kind === 'Namespace'))
      expect(below(raw, 'metadata', 'labels'), `${kind} ${name}`).toMatchObject({
        'pod-security.kubernetes.io/enforce': 'restricted',
      });
    expect(
      ALL.filter(({ kind }) => kind === 'Namespace')
        .map(({ name }) => name)
        .sort(),
    ).toEqual(['agents', 'sallyport']);
  });
});

describe('the proxy', () => {
  const ports = new Map(
    list(CONTAINER['ports']).map(({ name, containerPort }) => [text(name), containerPort]),
  );

  it('opens what its ports and Services say, and its admin side on loopback alone', () => {
    const { proxy, admin, metrics } = settings();
    expect(ports).toEqual(
      new Map([
        ['proxy', proxy.listen.port],
        ['metrics', metrics.listen?.port],
      ]),
    );
    expect(admin.listen).toEqual({ host: '127.0.0.1', port: 9090 });
    for (const name of ['sallyport', 'sallyport-pods']) {
      const service = below(one('Service', name), 'spec');
      expect(service['selector']).toEqual(
        below(one('StatefulSet', 'sallyport'), 'spec', 'selector', 'matchLabels'),
      );
      for (const { port, targetPort } of list(service['ports']))
        expect(ports.get(text(targetPort))).toBe(port);
      expect(service).not.toHaveProperty('type');
    }
    expect(text(below(one('StatefulSet', 'sallyport'), 'spec')['serviceName'])).toBe('sallyport-pods');
  });

  it('is found by sandboxes at an address that both sides write alike', () => {
    const address = below(one('Service', 'sallyport'), 'spec')['clusterIP'];
    const pod = podOf({ raw: one('Deployment', 'sandbox') });
    expect(pod['hostAliases']).toEqual([{ ip: address, hostnames: ['sallyport'] }]);
    expect(pod['dnsPolicy']).toBe('None');
  });

  it('is given longer to stop than it drains, and asked for its health where it answers', () => {
    expect(Number(PROXY['terminationGracePeriodSeconds']) * 1000).toBeGreaterThan(settings().proxy.drainMs);
    for (const probe of ['startupProbe', 'livenessProbe'])
      expect(below(CONTAINER, probe, 'httpGet')).toEqual({ path: '/healthz', port: 'proxy' });
    expect(below(CONTAINER, 'readinessProbe', 'exec')['command']).toEqual(['node', '/app/healthcheck.js']);
    const dockerfile = readFileSync(path.join(ROOT, 'deploy/docker/Dockerfile'), 'utf8');
    expect(dockerfile).toContain('./healthcheck.js');
    expect(dockerfile).toContain(`USER ${Number(below(PROXY, 'securityContext')['runAsUser'])}:`);
  });

  it('is scaled, kept and scraped by names that are its own', () => {
    expect(below(one('HorizontalPodAutoscaler', 'sallyport'), 'spec', 'scaleTargetRef')).toEqual({
      apiVersion: 'apps/v1',
      kind: 'StatefulSet',
      name: 'sallyport',
    });
    const labels = below(one('StatefulSet', 'sallyport'), 'spec', 'selector', 'matchLabels');
    expect(below(one('PodDisruptionBudget', 'sallyport'), 'spec', 'selector', 'matchLabels')).toEqual(labels);
    const monitor = below(one('ServiceMonitor', 'sallyport'), 'spec');
    const service = one('Service', 'sallyport-pods');
    expect(below(service, 'metadata', 'labels')).toEqual(below(monitor, 'selector', 'matchLabels'));
    const [endpoint] = list(monitor['endpoints']);
    expect(list(below(service, 'spec')['ports']).map(({ name }) => name)).toContain(endpoint?.['port']);
    // Rules and dashboards name the job.
    const job = text(below(service, 'metadata', 'labels')[text(monitor['jobLabel'])]);
    expect(readFileSync(path.join(ROOT, 'deploy/prometheus/alerts.yaml'), 'utf8')).toContain(`job="${job}"`);
  });

  it('names the Secrets that the README makes', () => {
    const readme = readFileSync(path.join(KUBERNETES, 'README.md'), 'utf8');
    const secrets = list(PROXY['volumes'])
      .map((volume) => text(below(volume, 'secret')['secretName']))
      .filter(Boolean);
    expect(secrets.sort()).toEqual(['sallyport-ca', 'sallyport-install', 'sallyport-keys']);
    for (const secret of secrets) expect(readme).toContain(`create secret generic ${secret}`);
  });
});

describe('who reaches whom', () => {
  const pod = (namespace: string, name: string, more: Record<string, string> = {}): Peer => ({
    namespace,
    labels: { 'app.kubernetes.io/name': name, ...more },
  });
  const proxy = pod('sallyport', 'sallyport');
  const redis = pod('sallyport', 'sallyport-redis');
  const sandbox = pod('agents', 'sandbox');
  const dns = pod('kube-system', 'coredns', { 'k8s-app': 'kube-dns' });
  const tcp = (port: number): { protocol: string; port: number } => ({ protocol: 'TCP', port });
  const udp = { protocol: 'UDP', port: 53 };
  const cases: readonly (readonly [string, Peer, Peer, { protocol: string; port: number }, boolean])[] = [
    ['a sandbox the proxy', sandbox, proxy, tcp(8080), true],
    ['a sandbox the metrics', sandbox, proxy, tcp(9091), false],
    ['a sandbox the admin side', sandbox, proxy, tcp(9090), false],
    ['a sandbox the name server', sandbox, dns, udp, false],
    ['a sandbox the name server by TCP', sandbox, dns, tcp(53), false],
    ['a sandbox another sandbox', sandbox, sandbox, tcp(8080), false],
    ['a sandbox the internet', sandbox, { address: '1.1.1.1' }, tcp(443), false],
    ['a sandbox a name server outside', sandbox, { address: '8.8.8.8' }, udp, false],
    ['a sandbox the internet by IPv6', sandbox, { address: '2606:4700:4700::1111' }, tcp(443), false],
    ['a sandbox the metadata service', sandbox, { address: '169.254.169.254' }, tcp(80), false],
    ['a sandbox the API server', sandbox, { address: '10.96.0.1' }, tcp(443), false],
    ['a pod of another namespace the proxy', pod('default', 'web'), proxy, tcp(8080), false],
    ['Prometheus the metrics', pod('monitoring', 'prometheus'), proxy, tcp(9091), true],
    ['Prometheus the proxy', pod('monitoring', 'prometheus'), proxy, tcp(8080), false],
    ['another pod of its namespace the metrics', pod('monitoring', 'grafana'), proxy, tcp(9091), false],
    ['the proxy an upstream', proxy, { address: '1.1.1.1' }, tcp(443), true],
    ['the proxy an upstream by IPv6', proxy, { address: '2606:4700:4700::1111' }, tcp(443), true],
    ['the proxy SSH', proxy, { address: '1.1.1.1' }, tcp(22), false],
    ['the proxy the metadata service', proxy, { address: '169.254.169.254' }, tcp(80), false],
    ['the proxy the API server', proxy, { address: '10.96.0.1' }, tcp(443), false],
    ['the proxy the name server', proxy, dns, udp, true],
    ['the proxy a sandbox', proxy, sandbox, tcp(443), false],
    ['the proxy Redis', proxy, redis, tcp(6379), true],
    ['a sandbox Redis', sandbox, redis, tcp(6379), false],
    ['Prometheus Redis', pod('monitoring', 'prometheus'), redis, tcp(6379), false],
    ['another pod of the namespace Redis', pod('sallyport', 'other'), redis, tcp(6379), false],
    ['Redis the internet', redis, { address: '1.1.1.1' }, tcp(443), false],
    ['Redis the proxy', redis, proxy, tcp(8080), false],
  ];
  for (const [what, from, to, port, expected] of cases)
    it(`${expected ? '' : 'not '}${what}`, () => expect(mayConnect(ALL, from, to, port)).toBe(expected));
});

describe('what is mounted', () => {
  let dir = '';
  beforeEach(() => {
    dir = mkdtempSync(path.join(tmpdir(), 'sallyport-k8s-'));
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  /** A volume as the kubelet writes it: files in a folder of its own, links to them by way of `..data`. */
  function mount(
    name: string,
    files: Readonly<Record<string, string | Buffer>>,
    mode: number,
    turn = '1',
  ): string {
    const at = path.join(dir, name);
    const data = path.join(at, `..${turn}`);
    for (const [file, content] of Object.entries(files)) {
      mkdirSync(path.dirname(path.join(data, file)), { recursive: true });
      writeFileSync(path.join(data, file), content, { mode });
    }
    symlinkSync(`..${turn}`, path.join(at, '..data_tmp'));
    renameSync(path.join(at, '..data_tmp'), path.join(at, '..data'));
    for (const top of new Set(Object.keys(files).map((file) => file.split('/')[0] ?? '')))
      if (!existsSync(path.join(at, top))) symlinkSync(`..data/${top}`, path.join(at, top));
    return at;
  }

  function policyFiles(): Record<string, string> {
    const data = below(one('ConfigMap', 'sallyport-policies'), 'data');
    const [volume] = list(PROXY['volumes']).filter(({ name }) => name === 'policies');
    const items = list(below(volume, 'configMap')['items']);
    expect(items.map(({ key }) => text(key)).sort()).toEqual(Object.keys(data).sort());
    return Object.fromEntries(items.map(({ key, path: to }) => [text(to), text(data[text(key)])]));
  }

  it('loads as policies that pass their own tests, and again when the kubelet swaps them', () => {
    const files = policyFiles();
    const at = mount('policies', files, 0o644);
    const loaded = loadPolicies(at);
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
    expect([...loaded.set.groups.keys()]).toEqual(['ai-agents']);
    expect(loaded.set.groups.get('ai-agents')?.rules.length).toBeGreaterThan(2);
    const results = runTests(loaded.set, buildSourceTable(loaded.set.groups.values()));
    expect(results.length).toBeGreaterThan(2);
    expect(results.filter(({ ok }) => !ok)).toEqual([]);
    mount(
      'policies',
      { ...files, 'agents.yaml': files['agents.yaml']?.replace('ai-agents', 'others') ?? '' },
      0o644,
      '2',
    );
    const again = loadPolicies(at);
    expect(again.ok && [...again.set.groups.keys()]).toEqual(['others']);
  });

  it('has a key in the Secret for each of the profile, where the profile looks for it', () => {
    const [keys] = list(CONTAINER['volumeMounts']).filter(({ name }) => name === 'keys');
    const profile = policyFiles()['profiles/agents.yaml'] ?? '';
    const from = [...profile.matchAll(/from: file:(\S+)/g)].map(([, file = '']) => file);
    expect(from.length).toBeGreaterThan(2);
    const readme = readFileSync(path.join(KUBERNETES, 'README.md'), 'utf8');
    for (const file of from) {
      expect(path.dirname(file)).toBe(keys?.['mountPath']);
      expect(readme).toContain(`--from-file=${path.basename(file)}=`);
    }
  });

  it.runIf(hasProgram('openssl'))(
    'starts an installation whose keys are those of the Secrets, made as the README says',
    () => {
      const readme = readFileSync(path.join(KUBERNETES, 'README.md'), 'utf8');
      const [, made = ''] = /```sh\n(umask 077\n[\s\S]*?)kubectl/.exec(readme) ?? [];
      expect(made).toContain('placeholder.key');
      execFileSync('sh', ['-euc', made], { cwd: dir, stdio: ['ignore', 'ignore', 'pipe'] });
      const read = (file: string): Buffer => readFileSync(path.join(dir, file));
      const certs = mount('certs', { 'ca.pem': read('ca.pem'), 'ca.key': read('ca.key') }, 0o440);
      const install = mount(
        'install',
        { 'placeholder.key': read('placeholder.key'), 'admin.token': read('admin.token') },
        0o440,
      );
      const data = path.join(dir, 'data');
      mkdirSync(data);
      chmodSync(data, 0o2775);
      const [init = {}] = list(PROXY['initContainers']);
      const script = texts(init['args'])
        .join('\n')
        .replaceAll('/var/lib/sallyport', data)
        .replaceAll('/run/secrets/install', install);
      execFileSync('sh', ['-euc', script]);
      // A second start of the same pod finds its files there, even as the kubelet leaves a volume that it restored.
      const vault = path.join(data, 'state', 'vault.key');
      writeFileSync(vault, Buffer.alloc(32, 1));
      chmodSync(vault, 0o660);
      chmodSync(path.join(data, 'state'), 0o2770);
      execFileSync('sh', ['-euc', script]);
      const moved: Readonly<Record<string, string>> = {
        '/etc/sallyport/certs': certs,
        '/var/lib/sallyport/state': path.join(data, 'state'),
        '/etc/sallyport/policies': dir,
      };
      const installed = ensureInstall(
        settings((folder) => moved[folder] ?? folder),
        { now: Date.now(), env: {} },
      );
      expect(installed.placeholderKey).toEqual(read('placeholder.key'));
      expect(installed.adminToken).toBe(read('admin.token').toString().trim());
      expect(installed.authority.certPem).toBe(read('ca.pem').toString());
      expect(statSync(path.join(data, 'state')).mode & 0o777).toBe(0o700);
    },
  );
});
