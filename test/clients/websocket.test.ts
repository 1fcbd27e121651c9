/** WebSocket clients with nothing but what `/env` prints: through a tunnel, with a key in a message, and refused in words. */
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
const KEY = 'gw-REAL-0123456789abcdefghijklmnop';

beforeAll(async () => {
  const contexts = { raw: upstreamContext('raw.test'), read: upstreamContext('read.test') };
  server = https.createServer({
    SNICallback: (name, done) => done(null, name === 'raw.test' ? contexts.raw : contexts.read),
  });
  const sockets = new WebSocketServer({ server });
  sockets.on('connection', (socket) =>
    socket.on('message', (data: Buffer) => socket.send(`echo ${data.toString()}`)),
  );
  const port = await listenOn(server);
  raw = `raw.test:${port}`;
  read = `read.test:${port}`;
  world = await makeWorld({
    policies: {
      'agents.yaml': policy([tunnelled(raw), intercepted(read)], { more: 'profile: keys\n' }),
      'profiles/keys.yaml': profile([{ env: 'GATEWAY', from: 'env:KEY', hosts: [read], in: ['websocket'] }]),
    },
    hosts: { 'raw.test': ['127.0.0.1'], 'read.test': ['127.0.0.1'] },
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

    it('talks through interception, and its placeholder arrives as the key', async () => {
      const ran = await sandbox.run(
        `node ${programFile('ws-client.ts')} ${client.which} 'wss://${read}/socket' "token $GATEWAY"`,
      );
      expect(ran.status, shown(ran)).toBe(0);
      expect(ran.stdout).toBe(`got echo token ${KEY}\nclosed 1000\n`);
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
