/**
 * `demo`: a tour that ends by itself. A loopback HTTPS API, a proxy with a policy of three lines, and a sandboxed
 * client that has nothing but what `/env` gives: one allowed call, one refused, one whose placeholder arrives as
 * the real key; then the metrics and records that they left. Everything lives in a folder that goes away.
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import type { Command } from 'commander';
import { systemClock } from '../base/clock.ts';
import { createLog } from '../base/log.ts';
import { loadSettings } from '../config/settings.ts';
import { loadOrCreateAuthority } from '../intercept/authority.ts';
import { createLeafMint } from '../intercept/leaf.ts';
import { type RunningProxy, startProxy } from '../lifecycle.ts';
import { parseAuthority } from '../wire/authority.ts';
import { ensureInstall } from './install.ts';
import { CliError, type CliIo } from './io.ts';
import { programVersion } from './version.ts';

const HOST = 'api.demo.test';
const CLIENT_LIMIT_MS = 20_000;
const run = promisify(execFile);

/** The sandboxed program: plain Node, no library, told of the proxy by its environment alone. */
const CLIENT = `
const https = require('node:https');
https.get(process.argv[1], { headers: { authorization: 'Bearer ' + process.env.DEMO_API_KEY } }, (response) => {
  let body = '';
  response.on('data', (bytes) => { body += bytes; });
  response.on('end', () => console.log(response.statusCode + ' ' + body.trim()));
}).on('error', (error) => console.log('refused: ' + error.message));
`;

export function addDemo(program: Command, io: CliIo): void {
  program
    .command('demo')
    .description('a tour on this machine alone: an allowed call, a refused call, a swapped key')
    .addHelpText('after', '\nExample:\n  $ npm run demo\n')
    .action(async () => {
      const dir = mkdtempSync(path.join(tmpdir(), 'sallyport-demo-'));
      try {
        await tour(dir, io);
      } finally {
        rmSync(dir, { recursive: true, force: true });
      }
    });
}

async function tour(dir: string, io: CliIo): Promise<void> {
  const say = (text = ''): void => void io.stdout.write(`${text}\n`);
  const realKey = `sk-demo-${randomBytes(24).toString('hex')}`;
  const api = await startApi(dir);
  const proxy = await startDemoProxy(dir, { realKey, apiPort: api.port });
  try {
    say(`An HTTPS API listens on loopback as ${HOST}, Sallyport on port ${proxy.address.port}. The policy:`);
    say(indent(readFileSync(path.join(dir, 'policies', 'demo.yaml'), 'utf8')));
    await calls(say, { proxy, api, realKey });
    await proxy.stop();
    say('What the audit log holds of it:');
    say(indent(auditLines(dir)));
  } finally {
    await proxy.stop();
    api.close();
  }
}

async function calls(
  say: (text?: string) => void,
  world: { proxy: RunningProxy; api: DemoApi; realKey: string },
): Promise<void> {
  const { proxy, api, realKey } = world;
  const env = await environment(proxy);
  const placeholder = env['DEMO_API_KEY'] ?? '';
  say(`The sandbox holds DEMO_API_KEY=${placeholder}`);
  say();
  const url = `https://${HOST}:${api.port}`;
  say(`1. An allowed call: GET ${url}/v1/hello`);
  say(indent(await call(`${url}/v1/hello`, env)));
  say('2. A call to a host that no rule allows: GET https://evil.example/');
  say(indent(await call('https://evil.example/', env)));
  say('3. What the API got in place of the placeholder in call 1:');
  const got = api.authorization();
  const swapped = got === `Bearer ${realKey}`;
  say(
    indent(
      swapped
        ? `Bearer ${realKey.slice(0, 10)}…   the real key, never seen by the sandbox`
        : `${got} (wrong!)`,
    ),
  );
  if (!swapped || realKey === placeholder) throw new CliError('the key was not swapped');
  say('Metrics:');
  const wanted = /^sallyport_(decisions|requests|substitutions)_total\{/;
  say(
    indent(
      (await proxy.parts.metrics.render())
        .split('\n')
        .filter((line) => wanted.test(line))
        .join('\n'),
    ),
  );
}

type DemoApi = { readonly port: number; authorization(): string; close(): void };

/** An API with a certificate from a CA that only this demo knows. */
async function startApi(dir: string): Promise<DemoApi> {
  const { authority } = loadOrCreateAuthority({ dir: path.join(dir, 'api-ca'), now: Date.now() });
  const at = parseAuthority(`${HOST}:443`);
  if ('reason' in at) throw new Error(at.reason);
  const context = createLeafMint({ authority, clock: systemClock }).contextFor(at);
  let authorization = '';
  const server = https.createServer(
    { SNICallback: (_name, done) => done(null, context) },
    (request, response) => {
      authorization = request.headers.authorization ?? '';
      response.end(`hello from ${HOST}${request.url ?? ''}\n`);
    },
  );
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, '127.0.0.1', resolve);
  await promise;
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no address');
  return {
    port: address.port,
    authorization: () => authorization,
    close: () => server.closeAllConnections(),
  };
}

async function startDemoProxy(
  dir: string,
  world: { realKey: string; apiPort: number },
): Promise<RunningProxy> {
  const file = (name: string, text: string): void => {
    mkdirSync(path.dirname(path.join(dir, name)), { recursive: true });
    writeFileSync(path.join(dir, name), text, { mode: 0o600 });
  };
  const at = `${HOST}:${world.apiPort}`;
  file('key', world.realKey);
  file('policies/demo.yaml', policyText(at));
  file('policies/profiles/demo.yaml', profileText(at));
  file(
    'sallyport.yaml',
    `proxy: { listen: "127.0.0.1:0", drain: 1s }\ntls: { extra_ca: [api-ca/ca.pem] }\ndns: { hosts: { "${HOST}": ["127.0.0.1"] } }\n`,
  );
  const loaded = loadSettings({ file: path.join(dir, 'sallyport.yaml'), env: {}, cwd: dir });
  if (!('settings' in loaded)) throw new Error(JSON.stringify(loaded.problems));
  const { settings } = loaded;
  const installed = ensureInstall(settings, { now: Date.now(), env: {} });
  const { authority, placeholderKey } = installed;
  const log = createLog({ stream: process.stderr, level: 'error' });
  return startProxy({ settings, log, version: programVersion(), authority, placeholderKey, env: {} });
}

function policyText(at: string): string {
  return `version: 1
group: demo
identify:
  sources: [127.0.0.0/8]
rules:
  - allow: ${at}
    methods: [GET]
    addresses: [127.0.0.0/8]
  - deny: "*"
    reason: Ask the platform team for access.
profile: demo
`;
}

function profileText(at: string): string {
  return `version: 1
profile: demo
secrets:
  - env: DEMO_API_KEY
    from: file:key
    hosts: ["${at}"]
`;
}

/** What a sandbox gets: the proxy's answer to /env, the CA in a file, and nothing of our own environment. */
async function environment(proxy: RunningProxy): Promise<Record<string, string>> {
  const base = `http://127.0.0.1:${proxy.address.port}`;
  const answer: unknown = await (await fetch(`${base}/env?format=json`)).json();
  if (typeof answer !== 'object' || answer === null) throw new CliError('/env gave no object');
  const ca = path.join(proxy.parts.options.settings.state.dir, 'demo-ca.pem');
  writeFileSync(ca, await (await fetch(`${base}/ca.pem`)).text());
  const given = Object.entries(answer).map(([name, value]): [string, string] => [name, String(value)]);
  return { ...Object.fromEntries(given), NODE_EXTRA_CA_CERTS: ca, NO_PROXY: '', no_proxy: '' };
}

async function call(url: string, env: Record<string, string>): Promise<string> {
  const { stdout } = await run(process.execPath, ['-e', CLIENT, url], { env, timeout: CLIENT_LIMIT_MS });
  return stdout;
}

function auditLines(dir: string): string {
  const folder = path.join(dir, '.sallyport', 'audit');
  const files = readdirSync(folder).filter((name) => name.endsWith('.jsonl'));
  return files
    .flatMap((name) => readFileSync(path.join(folder, name), 'utf8').trim().split('\n'))
    .map(inShort)
    .join('\n');
}

/** The fields of a record that tell the story, in its own order. */
function inShort(line: string): string {
  const record: unknown = JSON.parse(line);
  if (typeof record !== 'object' || record === null) return line;
  const told = [
    'kind',
    'seq',
    'stage',
    'host',
    'method',
    'path',
    'verdict',
    'reason',
    'treat',
    'keys',
    'status',
    'ended',
  ];
  return JSON.stringify(record, told);
}

function indent(text: string): string {
  return `${text.trim().replaceAll(/^/gm, '   ')}\n`;
}
