/** WebSocket clients with nothing but what `/env` prints: through a tunnel, and refused in words. */
import https from 'node:https';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocketServer } from 'ws';
import { policy, records, tunnelled } from '../helpers/scene.ts';
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

beforeAll(async () => {
  const context = upstreamContext('raw.test');
  server = https.createServer({ SNICallback: (_name, done) => done(null, context) });
  const sockets = new WebSocketServer({ server });
  sockets.on('connection', (socket) =>
    socket.on('message', (data: Buffer) => socket.send(`echo ${data.toString()}`)),
  );
  raw = `raw.test:${await listenOn(server)}`;
  world = await makeWorld({
    policies: { 'agents.yaml': policy([tunnelled(raw)]) },
    hosts: { 'raw.test': ['127.0.0.1'] },
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
