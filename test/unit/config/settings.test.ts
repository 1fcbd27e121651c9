import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { lintSettings } from '../../../src/config/lint-settings.ts';
import { loadSettings, type Settings } from '../../../src/config/settings.ts';
import type { Problem } from '../../../src/policy/model.ts';

let cwd: string;
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'sallyport-settings-'));
});
afterEach(() => rmSync(cwd, { recursive: true, force: true }));

type Env = Readonly<Record<string, string>>;
const load = (env: Env = {}, file?: string) =>
  loadSettings({ ...(file === undefined ? {} : { file }), env, cwd });
const write = (text: string, name = 'sallyport.yaml') => writeFileSync(join(cwd, name), text);

function settings(env: Env = {}, file?: string): Settings {
  const loaded = load(env, file);
  if ('settings' in loaded) return loaded.settings;
  throw new Error(JSON.stringify(loaded.problems));
}

function linted(env: Env = {}): readonly Problem[] {
  const loaded = load(env);
  if ('problems' in loaded) throw new Error(JSON.stringify(loaded.problems));
  return lintSettings(loaded.settings, loaded.locate);
}

function problems(env: Env = {}, file?: string): readonly Problem[] {
  const loaded = load(env, file);
  return 'settings' in loaded ? [] : loaded.problems;
}

describe('settings', () => {
  it('all have a default', () => {
    expect(settings()).toEqual({
      file: null,
      root: cwd,
      proxy: { listen: { host: '127.0.0.1', port: 8080 }, workers: 1, drainMs: 30_000 },
      transparent: { tls: null, http: null, dns: null, address: null },
      admin: { listen: { host: '127.0.0.1', port: 9090 }, names: [] },
      metrics: { listen: null },
      notify: { url: null, format: 'json' },
      policies: join(cwd, 'policies'),
      certs: join(cwd, 'certs'),
      state: { dir: join(cwd, '.sallyport'), redis: null },
      dns: { servers: [], hosts: new Map() },
      tls: { extraCa: [] },
      parentProxy: null,
      audit: { sync: 'batch', retainMs: 90 * 86_400_000 },
    });
  });

  it('are read from the file of the contract', () => {
    write(`proxy:
  listen: 127.0.0.1:8080
  workers: auto
  drain: 10s
transparent:
  # all commented out
admin:
  listen: "[::1]:9090"
  names: [Console.corp.example]
metrics:
  listen: 0.0.0.0:9100
policies: ../policies
dns:
  servers: ["10.0.0.2", "127.0.0.1:5300", "::1", "[::1]:5301"]
  hosts: { "API.test.": ["127.0.0.1", "::1"] }
tls:
  extra_ca: [certs/extra.pem, /etc/ca.pem]
audit: { sync: always, retain: 24h }
`);
    expect(settings()).toMatchObject({
      file: join(cwd, 'sallyport.yaml'),
      proxy: { workers: 'auto', drainMs: 10_000 },
      transparent: { tls: null },
      admin: { listen: { host: '::1', port: 9090 }, names: ['console.corp.example'] },
      metrics: { listen: { host: '0.0.0.0', port: 9100 } },
      policies: join(cwd, '../policies'),
      dns: {
        servers: [
          { host: '10.0.0.2', port: 53 },
          { host: '127.0.0.1', port: 5300 },
          { host: '::1', port: 53 },
          { host: '::1', port: 5301 },
        ],
        hosts: new Map([['api.test', ['127.0.0.1', '::1']]]),
      },
      tls: { extraCa: [join(cwd, 'certs/extra.pem'), '/etc/ca.pem'] },
      audit: { sync: 'always', retainMs: 86_400_000 },
    });
  });

  it('may be an empty file', () => {
    write('# nothing set\n');
    expect(settings().proxy.listen.port).toBe(8080);
  });

  it('come from --config, then SALLYPORT_CONFIG, then sallyport.yaml; a named file must exist', () => {
    write('proxy: { listen: "127.0.0.1:1" }');
    write('proxy: { listen: "127.0.0.1:2" }', 'two.yaml');
    write('proxy: { listen: "127.0.0.1:3" }', 'three.yaml');
    expect(settings().proxy.listen.port).toBe(1);
    expect(settings({ SALLYPORT_CONFIG: 'two.yaml' }).proxy.listen.port).toBe(2);
    expect(settings({ SALLYPORT_CONFIG: 'two.yaml' }, 'three.yaml').proxy.listen.port).toBe(3);
    expect(problems({ SALLYPORT_CONFIG: 'none.yaml' })).toMatchObject([{ file: 'none.yaml' }]);
    expect(problems({}, 'none.yaml')).toHaveLength(1);
  });

  it.each([
    ['proxy: { lisen: "127.0.0.1:1" }', 1, 10, 'did you mean "listen"?'],
    ['proxy:\n  listen: 8080', 2, 11, 'name an address, too: 127.0.0.1:8080'],
    ['proxy:\n  listen: "127.0.0.1"', 2, 11, 'write it in that form'],
    ['proxy:\n  listen: 127.1:8080', 2, 11, 'write it in that form'],
    ['proxy:\n  workers: 0', 2, 12, 'write 1 or more'],
    ['proxy:\n  drain: 30', 2, 10, 'give it a unit: 30s'],
    ['dns:\n  servers: [dns.example]', 2, 13, 'write it in that form'],
    ['dns:\n  hosts: { "a b": ["127.0.0.1"] }', 2, 12, 'write the name in A-labels, without a port'],
    ['dns:\n  hosts: { a.test: ["127.1"] }', 2, 21, 'write it like 172.25.0.1'],
    ['parent_proxy: ftp://x', 1, 15, 'write it like http://proxy.corp.example:3128'],
    ['audit:\n  retain: 12h', 2, 11, 'write it like 90d'],
    ['audit:\n  retain: 0d', 2, 11, 'write it like 90d'],
    ['audit:\n  retain: 3 weeks', 2, 11, 'write it like 90d'],
    ['audit:\n  retain: 90 days', 2, 11, 'write 90d'],
    ['transparent:\n  dns: "127.0.0.1:53"', 2, 8, 'write the address at which sandboxes reach this proxy'],
    ['state: { redis: localhost }', 1, 17, 'write it like redis://127.0.0.1:6379'],
    ['polices: x', 1, 1, 'did you mean "policies"?'],
    ['proxy: [', 1, null, null],
  ])('%s is refused at %s:%s (%s)', (text, line, column, fix) => {
    write(text);
    expect(problems()[0]).toMatchObject({
      file: 'sallyport.yaml',
      line,
      ...(column === null ? {} : { column }),
      ...(fix === null ? {} : { fix }),
    });
  });
});

describe('what may hold a password', () => {
  it.each([
    'parent_proxy: "ftp://user:hunter22@proxy"',
    'parent_proxy: ["http://user:hunter22@proxy"]',
    'notify: { url: "ftp://hooks.example/hunter22" }',
    'state: { redis: "redis://:hunter22@[" }',
    'hunter22 on its own',
  ])('does not stand in the error: %s', (text) => {
    write(text);
    expect(problems()).toHaveLength(1);
    expect(JSON.stringify(problems())).not.toContain('hunter22');
  });

  it('does not stand in it as a variable either', () => {
    const found = problems({ SALLYPORT_PARENT_PROXY: 'http://user:hunter22@' });
    expect(found).toMatchObject([{ file: '$SALLYPORT_PARENT_PROXY' }]);
    expect(JSON.stringify(found)).not.toContain('hunter22');
  });
});

describe('the environment', () => {
  it('overrides every kind of key, in a file or not', () => {
    write('proxy: { listen: "127.0.0.1:1", drain: 5s }');
    const env = {
      SALLYPORT_PROXY_LISTEN: '[::]:0',
      SALLYPORT_PROXY_WORKERS: '4',
      SALLYPORT_DNS_SERVERS: '10.0.0.2, 127.0.0.1:5300',
      SALLYPORT_DNS_HOSTS: 'a.test=127.0.0.1|::1,b.test=10.0.0.1',
      SALLYPORT_TLS_EXTRA_CA: 'a.pem',
      SALLYPORT_STATE_DIR: '/var/lib/sallyport',
      SALLYPORT_METRICS_LISTEN: 'null',
      SALLYPORT_PARENT_PROXY: 'http://proxy.corp.example:3128',
      SALLYPORT_ADMIN_LISTEN: '',
    };
    expect(settings(env)).toMatchObject({
      proxy: { listen: { host: '::', port: 0 }, workers: 4, drainMs: 5000 },
      admin: { listen: { port: 9090 } },
      dns: {
        servers: [{ host: '10.0.0.2', port: 53 }, { port: 5300 }],
        hosts: new Map([
          ['a.test', ['127.0.0.1', '::1']],
          ['b.test', ['10.0.0.1']],
        ]),
      },
      tls: { extraCa: [join(cwd, 'a.pem')] },
      state: { dir: '/var/lib/sallyport' },
      metrics: { listen: null },
      parentProxy: 'http://proxy.corp.example:3128',
    });
  });

  it('names the variable of a bad value, and a misspelt variable', () => {
    expect(problems({ SALLYPORT_PROXY_LISTEN: '8080' })).toMatchObject([{ file: '$SALLYPORT_PROXY_LISTEN' }]);
    expect(problems({ SALLYPORT_PROXY_LISTN: 'x' })).toMatchObject([
      { file: '$SALLYPORT_PROXY_LISTN', fix: 'did you mean SALLYPORT_PROXY_LISTEN?' },
    ]);
  });

  it('may hold what orchestrators and other parts set', () => {
    const env = {
      SALLYPORT_PORT: 'tcp://10.0.0.1:8080',
      SALLYPORT_PORT_8080_TCP_ADDR: '10.0.0.1',
      SALLYPORT_SERVICE_HOST: '10.0.0.1',
      SALLYPORT_ADMIN_PORT: 'tcp://10.0.0.1:9090',
      SALLYPORT_METRICS_SERVICE_PORT: '9100',
      SALLYPORT_VAULT_PASSPHRASE: 'secret',
      SALLYPORT_DEBUG: '1',
    };
    expect(problems(env)).toEqual([]);
  });
});

describe('fixes', () => {
  it('name the ports there are, for one that is none', () => {
    expect(problems({ SALLYPORT_PROXY_LISTEN: '127.0.0.1:70000' })).toMatchObject([
      { file: '$SALLYPORT_PROXY_LISTEN', fix: 'write a port from 1 to 65535' },
    ]);
  });

  it.each(['api.test', 'api.test=nowhere', 'a b=127.0.0.1'])(
    'show the form of SALLYPORT_DNS_HOSTS: %s',
    (text) => {
      const [first] = problems({ SALLYPORT_DNS_HOSTS: text });
      expect(first?.file).toBe('$SALLYPORT_DNS_HOSTS');
      expect(first?.fix).toContain('name=address|address');
    },
  );
});

describe('warnings', () => {
  it('name what listens too widely and what is not encrypted', () => {
    const found = linted({
      SALLYPORT_ADMIN_LISTEN: '0.0.0.0:9090',
      SALLYPORT_STATE_REDIS: 'redis://p.example:1',
    });
    expect(found.map(({ message }) => message).join('\n')).toMatch(/without TLS[\s\S]*admin side listens/);
    expect(found.map(({ file }) => file)).toEqual(['$SALLYPORT_STATE_REDIS', '$SALLYPORT_ADMIN_LISTEN']);
    expect(linted()).toEqual([]);
  });

  it('tell the file as it was named, line and column', () => {
    write('state:\n  redis: "redis://p.example:1"\nadmin:\n  listen: "0.0.0.0:9090"\n');
    const places = linted().map(({ file, line, column }) => `${file}:${line}:${column}`);
    expect(places).toEqual(['sallyport.yaml:2:10', 'sallyport.yaml:4:11']);
  });
});
