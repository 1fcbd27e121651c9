/** The text of `/install.sh`: what a hostile name could do in it, and what a linter says of it. */
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { EnvironmentAsk } from '../../../src/accept/environment.ts';
import { installScript } from '../../../src/accept/install-script.ts';
import { describeWith } from '../../helpers/programs.ts';

const TOKEN = `sp_tok_${'a'.repeat(16)}_${'b'.repeat(43)}`;
const CA_PEM = `-----BEGIN CERTIFICATE-----\n${'A'.repeat(64)}\n${'B'.repeat(64)}\nshort=\n-----END CERTIFICATE-----\n`;

let home: string;
beforeEach(() => {
  home = mkdtempSync(path.join(tmpdir(), 'install-script-'));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

function script(more: Partial<EnvironmentAsk> = {}): string {
  return installScript({
    proxyUrl: 'http://sallyport:8080',
    identity: { id: 'group:agents', group: 'agents', proof: 'source' },
    credential: { kind: 'none' },
    bindings: [],
    caPem: CA_PEM,
    ...more,
  });
}

/** Runs the functions of the script without its start, then `more`. */
function shell(text: string, more: string): string {
  const file = path.join(home, 'install.sh');
  writeFileSync(file, text.replace('{ main "$@"; }', ''));
  return execFileSync('dash', ['-euc', `. ${file}\n${more}`], {
    encoding: 'utf8',
    cwd: home,
    env: { PATH: process.env['PATH'] ?? '', HOME: home },
  });
}

describe('the text of install.sh', () => {
  it('carries any placeholder unchanged and runs nothing of it', () => {
    const placeholder = `it's "$(touch evil)" \`touch evil\`\nEND_OF_TEXT\ntouch evil\nEND_OF_TEXT_\n$HOME \\`;
    const text = script({ bindings: [{ env: 'ODD', placeholder }] });
    const out = shell(text, 'variables >env.sh; sallyport_dir=/x; . ./env.sh; printf %s "$ODD"');
    expect(out).toBe(placeholder);
    expect(readdirSync(home).sort()).toEqual(['env.sh', 'install.sh']);
    expect(shell(text, 'ca_certificate')).toBe(CA_PEM);
  });

  it('has the token where one was used, and asks with it', () => {
    const identity = { id: 'tok_1', group: 'agents', proof: 'token' } as const;
    const text = script({ identity, credential: { kind: 'token', token: TOKEN } });
    expect(shell(text, 'echo "$proxy_url $proxy_plain $fetch_header"')).toBe(
      `http://agents:${TOKEN}@sallyport:8080 http://sallyport:8080 Proxy-Authorization: Bearer ${TOKEN}\n`,
    );
    expect(script()).not.toContain('sp_tok_');
  });

  it('sets the preload only where its file is, before what NODE_OPTIONS holds', () => {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell's own expansion
    const ask = 'variables >env.sh; sallyport_dir=$PWD; . ./env.sh; . ./env.sh; echo "${NODE_OPTIONS:-none}"';
    expect(shell(script(), ask)).toBe('none\n');
    writeFileSync(path.join(home, 'preload.cjs'), '');
    expect(shell(script(), `NODE_OPTIONS=--no-warnings; ${ask}`)).toBe(
      `--require ${home}/preload.cjs --no-warnings\n`,
    );
  });

  it('ends in the one line that starts it', () => {
    expect(script().trimEnd().split('\n').at(-1)).toBe('{ main "$@"; }');
    expect(readFileSync('src/accept/kit/install-tools.sh', 'utf8')).not.toContain('main "$@"');
  });
});

describe('install.sh while the CA is changed', () => {
  const second = `-----BEGIN CERTIFICATE-----\n${'C'.repeat(64)}\n${'D'.repeat(64)}\nshort=\n-----END CERTIFICATE-----\n`;
  const install = (caPem: string, ...args: string[]): string => {
    const file = path.join(home, 'install.sh');
    writeFileSync(file, script({ caPem }));
    const root = path.join(home, 'root');
    return execFileSync('dash', [file, '--root', root, ...args], { encoding: 'utf8', cwd: home });
  };
  const content = (name: string): string | null => {
    const file = path.join(home, 'root', name);
    return existsSync(file) ? readFileSync(file, 'utf8') : null;
  };

  it('gives each CA to every store, and takes the old one out when it is over', () => {
    mkdirSync(path.join(home, 'root/etc/ssl'), { recursive: true });
    writeFileSync(path.join(home, 'root/etc/ssl/cert.pem'), 'ROOTS\n');
    install(CA_PEM + second);
    expect(content('etc/sallyport/ca.crt')).toBe(CA_PEM + second);
    expect(content('etc/sallyport/ca-2.crt')).toBe(second);
    expect(content('etc/ssl/cert.pem')).toContain(CA_PEM + second);
    const policy: unknown = JSON.parse(content('etc/chromium/policies/managed/sallyport.json') ?? '');
    const der = (one: string, two: string): string => `${one.repeat(64)}${two.repeat(64)}short=`;
    expect(policy).toEqual({ CACertificates: [der('A', 'B'), der('C', 'D')] });
    install(CA_PEM);
    expect(content('etc/sallyport/ca-2.crt')).toBeNull();
    expect(content('etc/sallyport/bundle.crt')).not.toContain('C'.repeat(64));
    install(CA_PEM, '--uninstall');
    expect(content('etc/ssl/cert.pem')).toBe('ROOTS\n');
  });
});

describeWith(['shellcheck'], 'shellcheck', () => {
  it('finds nothing in install.sh', () => {
    const file = path.join(home, 'install.sh');
    writeFileSync(file, script());
    expect(execFileSync('shellcheck', ['-s', 'sh', file], { encoding: 'utf8' })).toBe('');
  });
});
