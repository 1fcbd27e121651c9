/** The `export` lines, evaluated by real shells and fetched by real clients from a server on loopback. */
import { execFile } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { EnvironmentAsk } from '../../../src/accept/environment.ts';
import { printEnvironment } from '../../../src/accept/environment-formats.ts';
import { shellQuote } from '../../../src/accept/export-script.ts';

const run = promisify(execFile);
const TOKEN = `sp_tok_${'a'.repeat(16)}_${'b'.repeat(43)}`;
const CA_PEM = [
  '-----BEGIN CERTIFICATE-----',
  'A'.repeat(64),
  'MARK'.repeat(16),
  'short=',
  '-----END CERTIFICATE-----',
  '-----BEGIN CERTIFICATE-----',
  'CHAI'.repeat(16),
  '-----END CERTIFICATE-----',
  '',
].join('\n');

let home: string;
let server: Server;
let port: number;
let seen: { path: string; auth: string | undefined }[];
let status: number;
beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), 'export-'));
  seen = [];
  status = 200;
  server = createServer((request, response) => {
    seen.push({ path: request.url ?? '', auth: request.headers['proxy-authorization'] });
    response.writeHead(status, { 'content-type': 'text/plain' });
    response.end(request.url === '/ca.pem' ? CA_PEM : `ROOTS\n${CA_PEM}`);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const address = server.address();
  port = typeof address === 'object' && address !== null ? address.port : 0;
});
afterEach(async () => {
  await new Promise((done) => server.close(done));
  rmSync(home, { recursive: true, force: true });
});

function script(more: Partial<EnvironmentAsk> = {}): string {
  return printEnvironment('sh', {
    proxyUrl: `http://127.0.0.1:${port}`,
    identity: { id: 'group:agents', group: 'agents', proof: 'source' },
    credential: { kind: 'none' },
    bindings: [],
    caPem: CA_PEM,
    ...more,
  }).body;
}

/** Evaluates the script as a user would, then prints variables. Proxy variables are set before: a re-run. */
async function evaluate(
  text: string,
  opts: { shell?: string; eval?: string; env?: Record<string, string>; path?: string } = {},
): Promise<{ vars: Map<string, string>; stderr: string }> {
  const file = join(home, 'script');
  writeFileSync(file, text);
  const how = opts.eval ?? `eval "$(cat ${file})"`;
  const dead = 'http://127.0.0.1:1';
  const env = {
    PATH: opts.path ?? process.env['PATH'] ?? '',
    HOME: home,
    // bash reads its rc file when its input is a socket and it is not nested
    SHLVL: '2',
    http_proxy: dead,
    all_proxy: dead,
    ...opts.env,
  };
  const { stdout, stderr } = await run(
    opts.shell ?? 'dash',
    ['-uec', `${how.replaceAll('FILE', file)}; /usr/bin/env -0`],
    {
      env,
    },
  );
  const pairs = stdout.split('\0').map((line): [string, string] => {
    const at = line.indexOf('=');
    return [line.slice(0, at), line.slice(at + 1)];
  });
  return { vars: new Map(pairs), stderr };
}

/** A PATH that holds only these programs. */
function pathOf(...programs: string[]): string {
  const dir = join(home, 'bin');
  mkdirSync(dir);
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  for (const program of programs) {
    const found = folders.find((folder) => {
      try {
        return readdirSync(folder).includes(program);
      } catch {
        return false; // a folder of PATH that does not exist
      }
    });
    if (found !== undefined) symlinkSync(join(found, program), join(dir, program));
  }
  return dir;
}

const BASICS = ['cat', 'grep', 'mkdir', 'mv', 'mktemp', 'env', 'sh', 'dash', 'bash'];

describe('the export lines', () => {
  it.each(['dash', 'bash'])('evaluated by %s set the variables and fetch the CA files', async (shell) => {
    const { vars, stderr } = await evaluate(script(), { shell });
    expect(stderr).toBe('');
    expect(vars.get('HTTPS_PROXY')).toBe(`http://127.0.0.1:${port}`);
    expect(vars.get('https_proxy')).toBe(`http://127.0.0.1:${port}`);
    expect(vars.get('NODE_EXTRA_CA_CERTS')).toBe(join(home, '.sallyport-ca/ca.crt'));
    expect(vars.get('SSL_CERT_FILE')).toBe(join(home, '.sallyport-ca/bundle.crt'));
    expect(readFileSync(join(home, '.sallyport-ca/ca.crt'), 'utf8')).toBe(CA_PEM);
    expect(readFileSync(join(home, '.sallyport-ca/bundle.crt'), 'utf8')).toBe(`ROOTS\n${CA_PEM}`);
    expect(seen.map(({ path }) => path)).toEqual(['/ca.pem', '/bundle.pem', '/preload.cjs']);
    expect([...vars.keys()].filter((name) => name.startsWith('sallyport_'))).toEqual([]);
  });

  it('do the same when the eval has no quotes and the lines are joined', async () => {
    const { vars } = await evaluate(script(), { eval: 'eval $(cat FILE)' });
    expect(vars.get('NODE_EXTRA_CA_CERTS')).toBe(join(home, '.sallyport-ca/ca.crt'));
    expect(vars.get('JAVA_TOOL_OPTIONS')).toContain('-Dhttp.nonProxyHosts=localhost|127.*|[::1] ');
  });

  it('put the preload before what NODE_OPTIONS holds, and once', async () => {
    const file = join(home, '.sallyport-ca/preload.cjs');
    const again = `eval "$(cat FILE)"; eval "$(cat FILE)"`;
    const { vars } = await evaluate(script(), { eval: again, env: { NODE_OPTIONS: '--no-warnings' } });
    expect(vars.get('NODE_OPTIONS')).toBe(`--require ${file} --no-warnings`);
  });

  it('leave NODE_OPTIONS alone where its path would need quotes', async () => {
    const { vars } = await evaluate(script(), { env: { SALLYPORT_DIR: join(home, 'a folder') } });
    expect(vars.get('SSL_CERT_FILE')).toBe(join(home, 'a folder/bundle.crt'));
    expect(vars.has('NODE_OPTIONS')).toBe(false);
  });

  it('use wget where there is no curl', async () => {
    const { vars, stderr } = await evaluate(script(), { path: pathOf('wget', ...BASICS) });
    expect(stderr).toBe('');
    expect(vars.get('SSL_CERT_FILE')).toBe(join(home, '.sallyport-ca/bundle.crt'));
    expect(seen).toHaveLength(3);
  });

  it('fetch with the token where one was used, past any proxy variable', async () => {
    const identity = { id: 'tok_1', group: 'agents', proof: 'token' as const };
    const text = script({ identity, credential: { kind: 'token', token: TOKEN } });
    const { vars } = await evaluate(text);
    expect(seen.map(({ auth }) => auth)).toEqual([`Bearer ${TOKEN}`, `Bearer ${TOKEN}`, `Bearer ${TOKEN}`]);
    expect(vars.get('HTTPS_PROXY')).toBe(`http://agents:${TOKEN}@127.0.0.1:${port}`);
  });

  it('keep the files where SALLYPORT_DIR says', async () => {
    const dir = join(home, 'a b');
    const { vars } = await evaluate(script(), { env: { SALLYPORT_DIR: dir } });
    expect(vars.get('DENO_CERT')).toBe(join(dir, 'ca.crt'));
    expect(readFileSync(join(dir, 'ca.crt'), 'utf8')).toBe(CA_PEM);
  });

  it('find a folder of their own where the home folder cannot be written', async () => {
    const { vars } = await evaluate(script(), { env: { HOME: '/proc/nowhere', TMPDIR: home } });
    expect(vars.get('DENO_CERT')).toMatch(new RegExp(`^${home}/tmp\\.\\w+/ca\\.crt$`));
  });

  it('say so, set the rest and leave trust alone when the files cannot be fetched', async () => {
    status = 500;
    const { vars, stderr } = await evaluate(script());
    expect(stderr).toContain('sallyport: could not fetch the CA certificate');
    expect(vars.get('HTTPS_PROXY')).toBe(`http://127.0.0.1:${port}`);
    expect(vars.has('SSL_CERT_FILE')).toBe(false);
    expect(readdirSync(join(home, '.sallyport-ca'))).not.toContain('ca.crt');
  });

  it('use the files of the image when they hold the CA of this proxy, and fetch over those of another', async () => {
    const image = join(home, 'image');
    mkdirSync(image);
    const moved = script().replaceAll('/etc/sallyport', image);
    for (const file of ['ca.crt', 'bundle.crt']) writeFileSync(join(image, file), `x\n${CA_PEM}`);
    expect((await evaluate(moved)).vars.get('SSL_CERT_FILE')).toBe(join(image, 'bundle.crt'));
    expect(seen).toEqual([]);
    writeFileSync(join(image, 'bundle.crt'), CA_PEM.replace('MARK', 'OTHR'));
    expect((await evaluate(moved)).vars.get('SSL_CERT_FILE')).toBe(join(home, '.sallyport-ca/bundle.crt'));
    expect(seen).toHaveLength(3);
  });

  it('carry any placeholder unchanged and run nothing of it', async () => {
    const nasty = `a'b"c$(touch ${home}/owned)\`id\`\\ \n;|&<>*?#!~`;
    const { vars } = await evaluate(script({ bindings: [{ env: 'KEY', placeholder: nasty }] }));
    expect(vars.get('KEY')).toBe(nasty);
    expect(readdirSync(home)).not.toContain('owned');
  });
});

describe('shellQuote', () => {
  it('makes one word of anything', async () => {
    for (const value of ['', ' ', "'", "''", "a'b'", '$x', '\\', '\n', '-n']) {
      const { stdout } = await run('dash', ['-c', `printf '%s|' ${shellQuote(value)}`]);
      expect(stdout).toBe(`${value}|`);
    }
  });
});
