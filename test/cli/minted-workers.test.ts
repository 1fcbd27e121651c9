/**
 * Each worker has its own tokens made, and is given its own by a program that prints another each time; an upstream may
 * say to one what it heard from another: none of it reaches a sandbox, and none is taken from one.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type MintServer, mintServer } from '../helpers/mint-server.ts';
import { intercepted, placeholderIn, policy } from '../helpers/scene.ts';
import { askOnce, connectTls, type Reply } from '../helpers/talk.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';
import { eventually, upstreamAuthority } from '../helpers/world.ts';
import { childrenOf, type Running, startProcess } from './process-harness.ts';

const WORKERS = 2;
const CONNECTIONS = 24;
/** One is minted, one is printed. */
const KEYS = 2;
const PRINTED = "od -An -tx1 -N20 /dev/urandom | tr -d ' \\n'\n";
/** A loaded machine takes its time to start a process. */
const LATE_MS = 40_000;

describe('tokens that two workers have made', () => {
  let authority: MintServer;
  let web: Upstream;
  let running: Running;
  let at = '';
  let ca = '';
  let placeholder = '';
  let printed = '';
  /** credentials that the upstream heard; it says all of them to everybody */
  const heard = new Set<string>();

  beforeAll(async () => {
    authority = await mintServer();
    web = await httpUpstream({
      name: 'api.test',
      answer: (request, response) => {
        const { authorization = '', 'x-printed': printed = '' } = request.headers;
        for (const key of [authorization.replace('Bearer ', ''), String(printed)]) heard.add(key);
        const all = [...heard].flatMap((token) => [token, Buffer.from(`u:${token}`).toString('base64')]);
        response.writeHead(200, { 'content-type': 'text/plain', 'x-all': all.join(' ') }).end(all.join('\n'));
      },
    });
    at = `api.test:${web.port}`;
    running = await startProcess({
      policies: {
        'agents.yaml': policy([intercepted(at)], { more: 'profile: keys\n' }),
        'profiles/keys.yaml': `version: 1
profile: keys
mint:
  api: { kind: client_credentials, token_url: "${authority.origin}/token", client_id: "${authority.client.id}", client_secret: "env:SECRET" }
secrets:
  - { env: API_TOKEN, from: "mint:api", hosts: ["${at}"] }
  - { env: PRINTED_TOKEN, from: "command:sh print-token", hosts: ["${at}"] }
`,
      },
      settings: `proxy: { listen: "127.0.0.1:0", workers: ${WORKERS} }
admin: { listen: "127.0.0.1:0" }
tls: { extra_ca: [upstream-ca.pem] }
dns: { hosts: { "api.test": [127.0.0.1] } }
`,
      env: { SECRET: authority.client.secret },
      prepare: async ({ dir }) => {
        writeFileSync(join(dir, 'upstream-ca.pem'), upstreamAuthority().certPem);
        writeFileSync(join(dir, 'print-token'), PRINTED);
      },
    });
    ca = readFileSync(join(running.home.dir, 'certs', 'ca.pem'), 'utf8');
    const page = 'GET /env?format=json HTTP/1.1\r\nHost: sallyport\r\n\r\n';
    const env = (await askOnce(running.port, page)).json();
    placeholder = placeholderIn(env, 'API_TOKEN');
    printed = placeholderIn(env, 'PRINTED_TOKEN');
  });
  afterAll(async () => {
    await running.remove();
    await web.close();
    await authority.close();
  });

  const ask = async (key: string): Promise<Reply> => {
    const client = await connectTls(running.port, at, { ca });
    const reply = await client.ask(
      `GET / HTTP/1.1\r\nHost: ${at}\r\nAuthorization: Bearer ${key}\r\nX-Printed: ${printed}\r\n\r\n`,
    );
    client.destroy();
    return reply;
  };
  /** The kernel spreads connections: after some each worker had its turn. */
  const replies = async (key: string): Promise<readonly Reply[]> => {
    const all: Reply[] = [];
    for (let n = 0; n < CONNECTIONS; n += 1) all.push(await ask(key));
    return all;
  };
  const nothingShown = (all: readonly Reply[]): void => {
    for (const reply of all) {
      expect(reply.status).toBe(200);
      const told = reply.head + reply.body.toString();
      for (const token of heard) {
        expect(told).not.toContain(token);
        expect(told).not.toContain(Buffer.from(`u:${token}`).toString('base64').slice(4, -4));
      }
    }
  };

  it('are taken out of answers by both of them', async () => {
    await eventually(async () => {
      await ask(placeholder);
      return heard.size === KEYS * WORKERS;
    }, LATE_MS);
    nothingShown(await replies(placeholder));
    expect(heard.size).toBe(KEYS * WORKERS);
  });

  it('are refused by both of them', async () => {
    for (const token of heard) {
      for (const reply of await replies(token)) expect(reply.json()).toMatchObject({ reason: 'secret_leak' });
    }
  });

  it('are known to a worker that takes the place of one that died', async () => {
    const [first = 0] = childrenOf(running.child.pid);
    process.kill(first, 'SIGKILL');
    await eventually(() => {
      const now = childrenOf(running.child.pid);
      return now.length === WORKERS && !now.includes(first);
    }, LATE_MS);
    await eventually(async () => {
      // While the new one starts, connections to it fail.
      const reply = await ask(placeholder).catch(() => null);
      return reply !== null && heard.size === KEYS * (WORKERS + 1);
    }, LATE_MS);
    nothingShown(await replies(placeholder));
  });
});
