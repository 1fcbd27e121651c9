/** WebSocket clients with nothing but what `/env` prints: through a tunnel, with a key in a message or in the handshake, refused in words. */
import https from 'node:https';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocketServer } from 'ws';
import { intercepted, policy, profile, records, tunnelled } from '../helpers/scene.ts';
import { listenOn } from '../helpers/upstream.ts';
import { makeWorld, upstreamAuthority, upstreamContext, type World } from '../helpers/world.ts';
import { describeClient, programFile } from './client.ts';
import { makeSandbox, type Ran, type Sandbox } from './sandbox.ts';

const CLIENTS = [
  {
    which: 'ws',
    name: 'ws',
    version: `node -p 'require("${process.cwd()}/node_modules/ws/package.json").version'`,
    told: /host_not_allowed/,
  },
  { which: 'global', name: 'Node WebSocket', version: 'node --version', told: /error/ },
];

let world: World;
let server: https.Server;
let sandbox: Sandbox;
let raw = '';
let read = '';
let api = '';
/** Authorization of each handshake that arrived */
const seen: (string | undefined)[] = [];
/** messages that arrived */
const heard: string[] = [];
const KEY = 'gw-REAL-0123456789abcdefghijklmnop';

beforeAll(async () => {
  const names = ['raw.test', 'read.test', 'api.test'];
  const contexts = new Map(names.map((name) => [name, upstreamContext(name)]));
  server = https.createServer({ SNICallback: (name, done) => done(null, contexts.get(name)) });
  const sockets = new WebSocketServer({ server });
  sockets.on('connection', (socket, { headers }) => {
    seen.push(headers.authorization);
    socket.on('message', (data: Buffer) => {
      heard.push(data.toString());
      socket.send(`echo ${data.toString()}`);
    });
  });
  const port = await listenOn(server);
  raw = `raw.test:${port}`;
  read = `read.test:${port}`;
  api = `api.test:${port}`;
  world = await makeWorld({
    policies: {
      'agents.yaml': policy([tunnelled(raw), intercepted(read), intercepted(api)], {
        more: 'profile: keys\n',
      }),
      'profiles/keys.yaml': profile([
        { env: 'GATEWAY', from: 'env:KEY', hosts: [read], in: ['websocket'] },
        { env: 'API_KEY', from: 'env:KEY', hosts: [read, api] },
      ]),
    },
    hosts: Object.fromEntries(names.map((name) => [name, ['127.0.0.1']])),
    env: { KEY },
  });
  sandbox = await makeSandbox(world, { roots: [upstreamAuthority().certPem] });
});
afterAll(async () => {
  await world.stop();
  server.closeAllConnections();
  server.close();
});

const shown = ({ status, stdout, stderr }: Ran): string => `${status}\n${stdout}\n${stderr}`;

describe.each(CLIENTS)('WebSocket', (client) => {
  const talk = (url: string): string => `node ${programFile('ws-client.ts')} ${client.which} '${url}' hello`;

  describeClient(client, client.name, () => {
    it('talks through a tunnel', async () => {
      const ran = await sandbox.run(talk(`wss://${raw}/socket`));
      expect(ran.status, shown(ran)).toBe(0);
      expect(ran.stdout).toBe('got echo hello\nclosed 1000\n');
    });

    it('talks through interception, and its placeholder arrives as the key and comes back as it was', async () => {
      const ran = await sandbox.run(
        `node ${programFile('ws-client.ts')} ${client.which} 'wss://${read}/socket' "token $GATEWAY"`,
      );
      expect(ran.status, shown(ran)).toBe(0);
      expect(heard.at(-1)).toBe(`token ${KEY}`);
      expect(ran.stdout).toMatch(/^got echo token \S{20,}\nclosed 1000\n$/);
      expect(ran.stdout).not.toContain(KEY);
    });

    it('carries a placeholder in the handshake, where it can set a field', async () => {
      const ran = await sandbox.run(talk(`wss://${api}/socket`));
      expect(ran.status, shown(ran)).toBe(0);
      expect(ran.stdout).toBe('got echo hello\nclosed 1000\n');
      expect(seen.at(-1)).toBe(client.which === 'ws' ? `Bearer ${KEY}` : undefined);
    });

    it('is refused elsewhere', async () => {
      const host = `${client.which}.evil.test`;
      const ran = await sandbox.run(talk(`wss://${host}/socket`));
      expect(ran.status, shown(ran)).toBe(1);
      expect(ran.stderr).toMatch(client.told);
      const [refused] = await records(world, { kind: 'decision', host });
      expect(refused?.['reason']).toBe('host_not_allowed');
    });
  });
});
