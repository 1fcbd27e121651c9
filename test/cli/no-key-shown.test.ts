/**
 * A real `start` with keys of every kind is used, misused and ended by a crash, with an upstream that says everything
 * back; then all that it and the commands wrote or said is searched for every key in every form (invariant I5).
 */
import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectH2 } from '../helpers/h2.ts';
import { keysShown } from '../helpers/key-forms.ts';
import { intercepted, placeholderIn, policy, profile } from '../helpers/scene.ts';
import { askOnce, connectTls, open, type Reply, tryConnect } from '../helpers/talk.ts';
import { httpUpstream, type SeenRequest, type Upstream } from '../helpers/upstream.ts';
import { eventually, upstreamAuthority } from '../helpers/world.ts';
import type { Installation } from './main-harness.ts';
import { alive, childrenOf, type Running, startProcess } from './process-harness.ts';

/** With every character that some form writes differently. */
const KEYS = {
  vault: 'sk-proj-Vau"lt\\Key/0+1=2&3%4;5abcdefghijklmnop',
  rotated: 'sk-proj-Rot"ated\\Key/0+1=2&3%4;5abcdefghijklm',
  unnamed: 'ghp_UnnamedKeyUnnamedKeyUnnamedKey0123',
  env: 'xoxb-EnvironmentKey-0123456789-abcdefghijkl',
  file: 'fk_FileKeyFileKeyFileKey0123456789abcdefgh',
  refiled: 'fk_NextKeyNextKeyNextKey0123456789abcdefgh',
  command: 'ck_CommandKeyCommandKey0123456789abcdefghi',
  opener: '7f3c9a51b2e8d04466778899aabbccddeeff00112233445566778899aabbcc01',
} as const;

const NAMES = ['VAULT_KEY', 'ENV_KEY', 'FILE_KEY', 'COMMAND_KEY'] as const;
const ENV = { SALLYPORT_VAULT_KEY: KEYS.opener, REAL_ENV_KEY: KEYS.env };

/** Says back all that came: fields and the target in several codings, the body as it is. */
function echo(request: SeenRequest): { headers: Record<string, string>; body: Buffer } {
  const said = [request.url, ...request.rawHeaders];
  const first = String(request.headers['x-key'] ?? request.url);
  const forms = said.flatMap((text) => [
    text,
    encodeURIComponent(text),
    Buffer.from(text).toString('hex'),
    ...[0, 1, 2].map((shift) => Buffer.from(' '.repeat(shift) + text).toString('base64')),
  ]);
  return {
    headers: { 'x-echo': first, location: `https://api.test/?k=${encodeURIComponent(first)}` },
    // What came in JSON goes back in the same: twice escaped, it would be another form, as any cipher is.
    body: Buffer.concat([Buffer.from(JSON.stringify({ said, forms })), request.body]),
  };
}

describe.each([1, 2])('with %i process(es), no key is shown', (workers) => {
  let web: Upstream;
  let running: Running;
  let home: Installation;
  let at = '';
  let ca = '';
  let mine: Record<(typeof NAMES)[number], string>;
  const told: string[] = [];
  const commands: string[] = [];
  const admin: string[] = [];

  const keep = (reply: Reply): Reply => {
    const zipped = reply.field('content-encoding') === 'gzip';
    told.push(reply.head, (zipped ? gunzipSync(reply.body) : reply.body).toString('latin1'));
    return reply;
  };
  const inside = async (line: string, fields = '', body = ''): Promise<Reply> => {
    const client = await connectTls(running.port, at, { ca });
    const reply = keep(await client.ask(`${line} HTTP/1.1\r\nHost: ${at}\r\n${fields}\r\n${body}`));
    client.destroy();
    return reply;
  };
  const command = async (args: readonly string[], stdin?: string): Promise<void> => {
    const ran = await home.run(args, { env: ENV, ...(stdin === undefined ? {} : { stdin }) });
    commands.push(ran.out, ran.err);
    expect(ran.status, `${args.join(' ')}: ${ran.err}`).toBeLessThan(2);
  };
  /** Every place of a request, on both protocols. */
  const everywhere = async (value: string): Promise<void> => {
    const json = JSON.stringify({ key: value });
    const type = 'Content-Type: application/json\r\n';
    await inside('GET /h', `X-Key: ${value}\r\n`);
    await inside('GET /b', `Authorization: Basic ${Buffer.from(`user:${value}`).toString('base64')}\r\n`);
    await inside(`GET /q?key=${encodeURIComponent(value)}`);
    await inside(`GET /gzip/${encodeURIComponent(value)}`);
    await inside('POST /j', `${type}Content-Length: ${Buffer.byteLength(json)}\r\n`, json);
    await inside('GET /c', `Cookie: k=${value}\r\nUser-Agent: ${value}\r\n`);
    const h2 = await connectH2(running.port, at, { ca });
    for (const fields of [{ 'x-key': value }, { cookie: value }]) {
      const reply = await h2.ask('GET /h2', fields);
      told.push(JSON.stringify([reply.headers, reply.trailers]), reply.body.toString('latin1'));
    }
    h2.close();
  };
  /** What a sandbox that has a key, or a placeholder, may try besides. */
  const misuse = async (value: string): Promise<void> => {
    const bare = value.replace(/[^\w-]/g, '');
    for (const text of [
      `GET http://${bare}.test/${bare} HTTP/1.1\r\nHost: ${bare}.test\r\nX-Key: ${value}\r\n\r\n`,
      `GET http://api.test/ HTTP/1.1\r\nHost: api.test\r\nX-Key: ${value}\r\n\r\n`,
      `GET /env?format=${bare} HTTP/1.1\r\nHost: sallyport\r\nCookie: ${value}\r\n\r\n`,
      `GET /${bare} HTTP/1.1\r\nHost: sallyport\r\n\r\n`,
      `${value} / HTTP/1.1\r\nHost: sallyport\r\n\r\n`,
    ]) {
      keep(await askOnce(running.port, text));
    }
    const headers = `Proxy-Authorization: Basic ${Buffer.from(`x:${value}`).toString('base64')}\r\n`;
    for (const name of [`other.test:${web.port}`, `${bare}.test:443`]) {
      keep((await tryConnect(running.port, name, { headers })).answer);
    }
    const torn = await open(running.port);
    torn.socket.end(`GET http://api.test/${value} HTTP/1.1\r\nX: ${value}`);
    told.push((await torn.rest()).toString('latin1'));
  };
  const upstreamHeard = (): string =>
    web.seen
      .map(({ rawHeaders, url, body }) => `${url}\n${rawHeaders.join('\n')}\n${body.toString()}`)
      .join('\n');

  beforeAll(async () => {
    web = await httpUpstream({
      name: 'api.test',
      answer: (request, response) => {
        const { headers, body } = echo(request);
        const zip = request.url.startsWith('/gzip');
        response.writeHead(request.url.startsWith('/q') ? 302 : 200, {
          ...headers,
          'content-type': 'text/plain',
          trailer: 'x-last',
          ...(zip ? { 'content-encoding': 'gzip' } : {}),
        });
        response.write(zip ? gzipSync(body) : body);
        response.addTrailers({ 'x-last': headers['x-echo'] ?? '' });
        response.end();
      },
    });
    at = `api.test:${web.port}`;
    const sources = ['vault:a', 'env:REAL_ENV_KEY', 'file:file.key', 'command:./print-key'];
    const keys = NAMES.map((env, index) => ({
      env,
      from: sources[index] ?? '',
      hosts: [at],
      in: ['header', 'basic', 'query', 'path', 'body'],
    }));
    running = await startProcess({
      policies: {
        'agents.yaml': policy([intercepted(at)], { more: 'profile: keys\n' }),
        'profiles/keys.yaml': profile(keys),
      },
      settings: `proxy: { listen: "127.0.0.1:0", workers: ${workers} }
admin: { listen: "127.0.0.1:0" }
tls: { extra_ca: [upstream-ca.pem] }
dns: { hosts: { "api.test": [127.0.0.1], "other.test": [127.0.0.1] } }
`,
      env: { ...ENV, NODE_OPTIONS: '--import=./crash.mjs' },
      prepare: async (made) => {
        home = made;
        const write = (name: string, text: string): void => writeFileSync(join(made.dir, name), text);
        write('upstream-ca.pem', upstreamAuthority().certPem);
        write('file.key', KEYS.file);
        write('command.key', KEYS.command);
        // Leaves what /proc shows of it, and of who started it.
        write(
          'print-key',
          `#!/bin/sh\ncat /proc/self/environ /proc/self/cmdline /proc/$PPID/cmdline >> seen-of-command\ncat command.key\n`,
        );
        chmodSync(join(made.dir, 'print-key'), 0o700);
        // A fault in the program, about a key: in the message, in a member, in the cause.
        write(
          'crash.mjs',
          `process.on('SIGWINCH', () => { const key = ${JSON.stringify(KEYS.file)}; setImmediate(() => { throw Object.assign(new Error('about ' + key, { cause: new Error(key) }), { key, bytes: Buffer.from(key) }); }); });\n`,
        );
        await command(['vault', 'set', 'a', '--json'], KEYS.vault);
        await command(['vault', 'import', '-', '--json'], `UNNAMED=${KEYS.unnamed}\n`);
      },
    });
    ca = (await askOnce(running.port, 'GET /ca.pem HTTP/1.1\r\nHost: sallyport\r\n\r\n')).body.toString();
    const env = keep(await askOnce(running.port, 'GET /env?format=json HTTP/1.1\r\nHost: sallyport\r\n\r\n'));
    const pairs = NAMES.map((name) => [name, placeholderIn(env.json(), name)]);
    mine = Object.fromEntries(pairs) as typeof mine;
  }, 60_000);
  afterAll(async () => {
    await running.remove();
    await web.close();
  });

  it('while placeholders are used, everywhere and where they do not belong', async () => {
    for (const name of NAMES) {
      await everywhere(mine[name]);
      await misuse(mine[name]);
    }
    const heard = upstreamHeard();
    for (const name of ['vault', 'env', 'file', 'command'] as const) expect(heard).toContain(KEYS[name]);
  }, 60_000);

  it('while real keys are sent, which are refused', async () => {
    const before = web.seen.length;
    for (const name of ['vault', 'unnamed', 'env', 'file', 'command'] as const) {
      await everywhere(KEYS[name]);
      await misuse(KEYS[name]);
    }
    expect(web.seen.length).toBe(before);
  }, 60_000);

  it('while keys are rotated and removed, and the old ones tried', async () => {
    const next = async (name: (typeof NAMES)[number], value: string): Promise<void> => {
      await eventually(async () => {
        await inside('GET /next', `X-Key: ${mine[name]}\r\n`);
        return web.seen.at(-1)?.headers['x-key'] === value;
      }, 25_000);
    };
    await command(['vault', 'rotate', 'a', '--json'], KEYS.rotated);
    writeFileSync(join(home.dir, 'file.key'), KEYS.refiled);
    await next('VAULT_KEY', KEYS.rotated);
    await next('FILE_KEY', KEYS.refiled);
    await command(['vault', 'rm', 'a', '--json']);
    await eventually(async () => {
      const reply = await inside('GET /gone', `X-Key: ${mine.VAULT_KEY}\r\n`);
      return reply.status === 503 && reply.json()['reason'] === 'secret_unavailable';
    }, 25_000);
    const before = web.seen.length;
    for (const name of ['vault', 'rotated', 'file', 'refiled'] as const) {
      const reply = await inside('GET /old', `X-Key: ${KEYS[name]}\r\n`);
      expect(reply.json(), name).toMatchObject({ reason: 'secret_leak' });
      await everywhere(KEYS[name]);
    }
    expect(web.seen.length).toBe(before);
  }, 60_000);

  it('by the admin side and the commands', async () => {
    const { body } = await running.admin('GET', '/api/openapi.json');
    const { paths } = body as { paths: Record<string, object> };
    const routes = Object.entries(paths).filter(([path, of]) => 'get' in of && !/[{]|events/.test(path));
    expect(routes.length).toBeGreaterThan(4);
    for (const path of [...routes.map(([route]) => route), '/metrics', '/healthz', '/readyz']) {
      const answer = await running.admin('GET', path);
      admin.push(`${path} ${JSON.stringify(answer)}`);
    }
    const explain = { group: 'agents', method: 'GET', url: `https://${at}/` };
    admin.push(JSON.stringify(await running.admin('POST', '/api/v1/explain', explain)));
    writeFileSync(join(home.dir, 'policies', 'agents.yaml'), `version: 1\ngroup: ${mine.ENV_KEY}: oops\n`);
    admin.push(JSON.stringify(await running.admin('POST', '/api/v1/reload')));
    await command(['check']);
    writeFileSync(
      join(home.dir, 'policies', 'agents.yaml'),
      policy([intercepted(at)], { more: 'profile: keys\n' }),
    );
    expect(await running.admin('POST', '/api/v1/reload')).toMatchObject({ status: 200 });
    for (const args of [
      ['vault', 'list', '--json'],
      ['check', '--json'],
      ['explain', '--group', 'agents', `https://${at}/`, '--json'],
      ['env', '--group', 'agents', '--json'],
      ['token', 'list', '--json'],
      ['audit', 'verify', '--json'],
      ['audit', 'tail', '--json'],
      ['audit', 'report', '--json'],
      ['learn', '--group', 'agents', '--json'],
      ['lockdown', 'status', '--json'],
    ]) {
      await command(args);
    }
  }, 60_000);

  it('at the end by a crash, nor in anything that was written, said or shown by /proc', async () => {
    const { pid = 0 } = running.child;
    const children = childrenOf(pid);
    const [child] = children;
    const shown: Record<string, string> = { cmdline: readFileSync(`/proc/${pid}/cmdline`, 'latin1') };
    for (const one of children) {
      for (const name of ['environ', 'cmdline']) {
        shown[`${name} of a worker`] = readFileSync(`/proc/${one}/${name}`, 'latin1');
      }
    }
    expect(Object.keys(shown)).toHaveLength(workers === 1 ? 1 : 3);
    process.kill(child ?? pid, 'SIGWINCH');
    await eventually(() => running.said().includes('ended by an error in the program'), 25_000);
    const all = (): number[] | null => {
      const now = childrenOf(pid);
      return now.length === children.length && !now.includes(child ?? 0) ? now : null;
    };
    const replaced = child === undefined ? [] : await eventually(all, 25_000);
    if (child !== undefined) process.kill(pid, 'SIGWINCH');
    await running.gone;
    // Workers that lost their supervisor end what they have, and write while they do.
    await eventually(() => ![...children, ...replaced].some(alive), 30_000);
    await command(['audit', 'verify', '--json']);
    const places: Record<string, string> = {
      ...shown,
      'what it said': running.said(),
      'answers to the sandbox': told.join('\n'),
      'the admin side': admin.join('\n'),
      'the commands': commands.join('\n'),
    };
    for (const name of readdirSync(home.dir, { recursive: true, encoding: 'utf8' })) {
      const file = join(home.dir, name);
      if (statSync(file).isFile() && !GIVEN.has(name)) places[name] = readFileSync(file, 'latin1');
    }
    for (const name of ['audit', 'vault.json', 'seen-of-command']) {
      expect(Object.keys(places).some((place) => place.includes(name) && places[place] !== '')).toBe(true);
    }
    // The search finds what is there: the upstream has every key that was ever in use.
    expect(keysShown({ upstream: upstreamHeard() }, { env: KEYS.env })).not.toEqual([]);
    expect(keysShown(places, KEYS)).toEqual([]);
  }, 60_000);
});

/** Files that hold keys because the test put them there. */
const GIVEN: ReadonlySet<string> = new Set(['file.key', 'command.key', 'crash.mjs']);
