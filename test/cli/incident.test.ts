/** `incident`: one command, and nothing that a sandbox held is worth anything. */
import { createPublicKey } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { verifyChains } from '../../src/audit/chains.ts';
import { PUBLIC_KEY_FILE } from '../../src/audit/evidence.ts';
import { jsonObject } from '../helpers/json.ts';
import { policy, profile } from '../helpers/scene.ts';
import { connectTls, tryConnect } from '../helpers/talk.ts';
import { httpUpstream, type Upstream } from '../helpers/upstream.ts';
import { eventually, upstreamAuthority } from '../helpers/world.ts';
import { type Running, startProcess } from './process-harness.ts';

const REAL = 'sk-real-key-value-0123456789abcdefghij';

describe('incident', () => {
  let web: Upstream;
  let running: Running;
  let at = '';

  beforeEach(async () => {
    web = await httpUpstream({ name: 'web.test' });
    at = `web.test:${web.port}`;
    running = await startProcess({
      policies: {
        'agents.yaml': policy([`allow: "${at}", methods: [GET], addresses: [127.0.0.0/8]`], {
          more: 'profile: keys\n',
        }),
        'profiles/keys.yaml': profile([{ env: 'API_KEY', from: 'env:REAL_KEY', hosts: [at] }]),
      },
      settings:
        'proxy: { listen: "127.0.0.1:0" }\nadmin: { listen: "127.0.0.1:0" }\ntls: { extra_ca: [ca.pem] }\ndns: { hosts: { "web.test": ["127.0.0.1"] } }\n',
      through: `printf '%s' '${upstreamAuthority().certPem}' > ca.pem; export REAL_KEY=${REAL}; exec "$@"`,
    });
    onTestFinished(() => running.remove());
  });
  afterEach(() => web.close());

  const environment = async (): Promise<string> => {
    const reply = await fetch(`http://127.0.0.1:${running.port}/env?format=json`);
    return String(jsonObject(await reply.text())['API_KEY']);
  };
  const call = async (placeholder: string): Promise<number> => {
    const ca = readFileSync(join(running.home.dir, 'certs', 'ca.pem'), 'utf8');
    const client = await connectTls(running.port, at, { ca });
    const { status } = await client.ask(
      `GET / HTTP/1.1\r\nHost: ${at}\r\nAuthorization: Bearer ${placeholder}\r\n\r\n`,
    );
    client.destroy();
    return status;
  };
  const incident = async (...args: string[]) => {
    const ran = await running.home.run(['incident', '--reason', 'odd uploads', '--json', ...args]);
    return { ...ran, said: ran.out === '' ? {} : jsonObject(ran.out) };
  };

  it('locks down, keeps the record with its proof, ends tokens and placeholders, and lists the keys by who used them', async () => {
    const before = await environment();
    expect(await call(before)).toBe(200);
    expect(web.seen.at(-1)?.headers['authorization']).toBe(`Bearer ${REAL}`);
    const { out: issued } = await running.home.run(['token', 'create', '--group', 'agents', '--json']);

    const { status, said } = await incident();
    expect(status).toBe(0);
    expect(said).toMatchObject({
      group: '*',
      steps: ['lockdown', 'record', 'tokens', 'placeholders', 'keys'].map((step) => ({ step, ok: true })),
      keys: [{ key: 'API_KEY', group: 'agents', identity: 'group:agents', calls: 1, hosts: ['web.test'] }],
    });
    // Locked, within a second; that of the file is for a proxy that has other work.
    await eventually(
      async () => (await tryConnect(running.port, at)).answer.head.includes('locked_down'),
      5_000,
    );
    const { out: tokens } = await running.home.run(['token', 'list', '--json']);
    expect(tokens).toContain(String(jsonObject(issued)['id']));
    expect(tokens).not.toContain('"revoked": null');
    // What was put aside stands by itself.
    const evidence = String(said['evidence']);
    const key = createPublicKey(readFileSync(join(evidence, PUBLIC_KEY_FILE), 'utf8'));
    expect(verifyChains(join(evidence, 'audit'), key).map(({ finding }) => finding)).toEqual([null]);
    expect(readdirSync(join(evidence, 'audit')).some((name) => name.startsWith('audit-'))).toBe(true);

    await running.home.run(['lockdown', 'off', '--reason', 'over']);
    await eventually(async () => (await tryConnect(running.port, at)).answer.status === 200);
    const after = await eventually(async () => {
      const now = await environment();
      return now === before ? null : now;
    });
    expect(await call(before)).toBe(403);
    expect(await call(after)).toBe(200);
    await eventually(() => {
      const acts = running.records().map(({ kind, action }) => kind === 'operator' && action);
      return ['lockdown.on', 'token.revoke', 'placeholders.renew'].every((one) => acts.includes(one));
    });
  });

  it('may be run again, and does nothing at all with --dry-run', async () => {
    const before = await environment();
    const dry = await running.home.run(['incident', '--reason', 'drill', '--dry-run']);
    expect(dry).toMatchObject({ status: 0 });
    expect(dry.out).toContain('lockdown: would lock everybody\n');
    expect(dry.out).not.toContain('done');
    expect(existsSync(join(running.home.dir, '.sallyport', 'incidents'))).toBe(false);
    expect(await call(before)).toBe(200);
    expect((await incident('--group', 'agents')).status).toBe(0);
    expect((await incident('--group', 'agents')).status).toBe(0);
  });

  it('goes on when a step fails, says so, and ends with status 1', async () => {
    writeFileSync(join(running.home.dir, '.sallyport', 'placeholder.epochs.json'), 'nonsense');
    const { status, said } = await incident();
    expect(status).toBe(1);
    expect(said['steps']).toMatchObject([
      { step: 'lockdown', ok: true },
      { step: 'record', ok: true },
      { step: 'tokens', ok: true },
      { step: 'placeholders', ok: false },
      { step: 'keys', ok: true },
    ]);
  });

  it.each([[['--group', 'nobody']], [['--reason', 'two\nlines']], [['--since', 'ever']]])(
    'refuses %j',
    async (args) => {
      expect((await running.home.run(['incident', '--reason', 'x', ...args])).status).toBeGreaterThan(0);
    },
  );
});
