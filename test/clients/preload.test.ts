/**
 * The preload for Node without proxy support: on every Node of this machine that lacks it, and on this one with its
 * own support left off and on. Nothing is told to a program but what `/env` prints.
 */
import { spawnSync } from 'node:child_process';
import { createServer } from 'node:http';
import https from 'node:https';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocketServer } from 'ws';
import { ROOT } from '../helpers/import-table.ts';
import { hasProgram } from '../helpers/programs.ts';
import { intercepted, policy, profile, records, tunnelled } from '../helpers/scene.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';
import { makeWorld, upstreamContext, type World } from '../helpers/world.ts';
import { makeSandbox, type Sandbox } from './sandbox.ts';

const REAL = 'sk-proj-0123456789abcdefghijklmnopqrstuvwxyz';

/** The machine's own Node, where it is an older one. */
function olderNode(): readonly string[] {
  const system = '/usr/bin/node';
  if (spawnSync(system, ['-v']).status !== 0) return [];
  const asked = 'process.allowedNodeEnvironmentFlags.has("--use-env-proxy")';
  return String(spawnSync(system, ['-p', asked]).stdout).trim() === 'false' ? [system] : [];
}

const NODES: readonly (readonly [string, string, string])[] = [
  ...olderNode().map((node) => [`Node ${String(spawnSync(node, ['-v']).stdout).trim()}`, node, ''] as const),
  [`Node ${process.version} without its own support`, process.execPath, 'unset NODE_USE_ENV_PROXY\n'],
  [`Node ${process.version} with its own support`, process.execPath, ''],
];

const GET = `
const get = (module, url, options) => new Promise((resolve, reject) => {
  module.get(url, { headers: { authorization: 'Bearer ' + process.env.API_KEY }, ...options }, (response) => {
    let body = '';
    response.on('data', (bytes) => { body += bytes; });
    response.on('end', () => resolve(response.statusCode + ' ' + body));
  }).on('error', reject);
});
`;

describe.each(NODES)('%s', (_title, node, before) => {
  let world: World;
  let web: Upstream;
  let sockets: https.Server;
  let echo: WebSocketServer;
  let sandbox: Sandbox;
  let at = '';
  let echoAt = '';

  beforeAll(async () => {
    hasProgram('curl');
    web = await httpUpstream({ name: 'api.test' });
    at = `api.test:${web.port}`;
    const context = upstreamContext('ws.test');
    sockets = https.createServer({ SNICallback: (_name, done) => done(null, context) });
    echo = new WebSocketServer({ server: sockets });
    echo.on('connection', (socket) => socket.on('message', (data) => socket.send(data)));
    await new Promise<void>((done) => sockets.listen(0, '127.0.0.1', done));
    const bound = sockets.address();
    echoAt = `ws.test:${typeof bound === 'object' && bound !== null ? bound.port : 0}`;
    world = await makeWorld({
      policies: {
        'agents.yaml': policy([intercepted(at), tunnelled(echoAt)], { more: 'profile: keys\n' }),
        'profiles/keys.yaml': profile([{ env: 'API_KEY', from: 'env:REAL', hosts: [at] }]),
      },
      hosts: { 'api.test': ['127.0.0.1'], 'ws.test': ['127.0.0.1'] },
      env: { REAL },
    });
    sandbox = await makeSandbox(world);
  });
  afterAll(async () => {
    echo.close();
    sockets.closeAllConnections();
    sockets.close();
    await world.stop();
    await web.close();
  });

  /** The program's standard output; the program is CommonJS unless told. */
  async function run(program: string, more: { setup?: string; type?: string } = {}): Promise<string> {
    const { setup = '', type = 'commonjs' } = more;
    const modules = `export NODE_PATH='${path.join(ROOT, 'node_modules')}'\n`;
    const ran = await sandbox.run(
      `${before}${modules}${setup}\n'${node}' --input-type=${type} - <<'END'\n${program}\nEND`,
    );
    expect(ran.stderr).toBe('');
    return ran.stdout.trim();
  }

  it('sends fetch through the proxy, its placeholder swapped', async () => {
    const out = await run(`
      fetch('https://${at}/v1/x', { method: 'POST', body: 'four', headers: { authorization: 'Bearer ' + process.env.API_KEY } })
        .then(async (answer) => console.log(answer.status, await answer.text()));`);
    expect(out).toBe('200 POST /v1/x 4');
    expect(web.seen.at(-1)?.headers.authorization).toBe(`Bearer ${REAL}`);
  });

  it('sends https through the proxy, with an agent of the program’s own and from an ES module', async () => {
    const agent = `agent: new https.Agent({ keepAlive: true, maxSockets: 1 })`;
    const out = await run(
      `import * as https from 'node:https';${GET}
      const options = { ${agent} };
      console.log(await get(https, 'https://${at}/a', options));
      console.log(await get(https, 'https://${at}/b', options));
      console.log(await get(https, 'https://${at}/c'));
      options.agent.destroy();`,
      { type: 'module' },
    );
    expect(out).toBe('200 GET /a 0\n200 GET /b 0\n200 GET /c 0');
    expect(web.seen.at(-1)?.headers.authorization).toBe(`Bearer ${REAL}`);
  });

  it('sends plain http to the proxy with its whole URL, where the refusal can be read', async () => {
    const out = await run(
      `${GET}get(require('node:http'), 'http://evil.test/x?y=1', { headers: {} }).then(console.log);`,
    );
    expect(out).toMatch(/^403 .*"reason":"host_not_allowed".*"host":"evil.test:80"/);
    const list = `require('node:http').request({ host: 'evil.test', path: '/list', headers: ['Host', 'evil.test'] })
      .on('response', (response) => { console.log(response.statusCode); response.resume(); }).end();`;
    expect(await run(list)).toBe('403');
    expect(
      await records(world, { kind: 'decision', path: '/list', reason: 'host_not_allowed' }),
    ).toHaveLength(1);
  });

  it('tells why a host is refused', async () => {
    const out =
      await run(`${GET}get(require('node:https'), 'https://evil.test/').catch((e) => console.log(e.message));
      `);
    expect(out).toMatch(/403 host_not_allowed 0[0-9A-Z]{25}/);
  });

  it('goes straight to what NO_PROXY names', async () => {
    const local = createServer((_request, response) => response.end('local'));
    await new Promise<void>((done) => local.listen(0, '127.0.0.1', done));
    const bound = local.address();
    const url = `http://127.0.0.1:${typeof bound === 'object' && bound !== null ? bound.port : 0}/`;
    const out = await run(`${GET}
      fetch('${url}').then(async (answer) => {
        console.log(await answer.text());
        console.log(await get(require('node:http'), '${url}'));
      });`);
    expect(out).toBe('local\n200 local');
    local.closeAllConnections();
    local.close();
  });

  it('does not send axios, which knows the proxy, through it twice', async () => {
    // http: what axios makes of an https:// URL is the proxy's matter, and is tested with it.
    const out = await run(
      `require('axios').get('http://evil.test/').catch((e) => console.log(e.response.data.error));`,
    );
    expect(out).toBe('sallyport: host_not_allowed: evil.test:80');
  });

  it('sends ws through the proxy', async () => {
    const trust = `export NODE_EXTRA_CA_CERTS='${path.join(world.dir, 'upstream-ca.pem')}'`;
    const out = await run(
      `const { WebSocket } = require('ws');
      const socket = new WebSocket('wss://${echoAt}/');
      socket.on('open', () => socket.send('hello'));
      socket.on('message', (data) => { console.log(String(data)); socket.close(); });
      socket.on('error', (e) => console.log(e.message));`,
      { setup: trust },
    );
    expect(out).toBe('hello');
    const refused = await run(
      `const { WebSocket } = require('ws');
      new WebSocket('wss://evil.test/').on('error', (e) => console.log(e.message));`,
    );
    expect(refused).toMatch(/403 host_not_allowed/);
  });
});
