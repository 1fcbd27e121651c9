/** The text of `/doctor.sh`: the linter's word, and what it takes for a real key. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { doctorScript } from '../../../src/accept/doctor-script.ts';
import { KEY_PREFIXES } from '../../../src/secrets/key-prefixes.ts';
import { MARKER } from '../../../src/secrets/placeholder.ts';
import { describeWith } from '../../helpers/programs.ts';

const RANDOM = 'a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R';
const TEXT = doctorScript({
  proxyUrl: 'http://sallyport:8080',
  identity: { id: 'group:agents', group: 'agents', proof: 'source' },
  credential: { kind: 'none' },
  bindings: [],
  caPem: '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
});

let home: string;
beforeEach(() => {
  home = mkdtempSync(path.join(tmpdir(), 'doctor-script-'));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

/** What `find_keys` says of a file with this text. */
function found(text: string, known = ''): string {
  writeFileSync(path.join(home, 'script'), TEXT.replace('{ main "$@"; }', ''));
  writeFileSync(path.join(home, 'file'), text);
  const code = '. ./script; known_values=$KNOWN; find_keys file';
  return execFileSync('dash', ['-euc', code], {
    encoding: 'utf8',
    cwd: home,
    env: { PATH: process.env['PATH'] ?? '', KNOWN: known },
  });
}

describeWith(['dash'], 'doctor.sh', () => {
  it('knows every kind of key that placeholders are made for', () => {
    const said = found(KEY_PREFIXES.map((prefix) => `${prefix}${RANDOM}\n`).join(''));
    expect(said.split(', ').length - 1).toBe(KEY_PREFIXES.length);
    expect(said).not.toContain(RANDOM);
  });

  it.each([
    ['a Telegram token', `123456789:${RANDOM}`, 'file:1 (123456789:…), '],
    ['a JSON Web Token', `Bearer eyJhbGciOi.eyJzdWIiOiIxMjM0.${RANDOM}`, 'file:1 (eyJ…), '],
    ['one in a URL', `https://x:ghp_${RANDOM}@github.com`, 'file:1 (ghp_…), '],
    ['a private key', '-----BEGIN RSA PRIVATE KEY-----\nMIIEabc', 'file:2 (a private key), '],
  ])('finds %s', (_what, text, said) => {
    expect(found(`${text}\n`)).toBe(said);
  });

  it.each([
    ['placeholders', `OPENAI_API_KEY=sk-${MARKER}${RANDOM}`, ''],
    ['what /env gives', `KEY=sk-${RANDOM}`, `{"KEY":"sk-${RANDOM}"}`],
    ['the private key that /env gives', '-----BEGIN PRIVATE KEY-----\nMIIEabc', '{"PEM":"…\\nMIIEabc\\n"}'],
    ['words', 'sk-this-is-no-key-but-a-name key-value-store-of-things', ''],
  ])('does not take %s for keys', (_what, text, known) => {
    expect(found(`${text}\n`, known)).toBe('');
  });
});

describeWith(['shellcheck'], 'shellcheck', () => {
  it('finds nothing in doctor.sh', () => {
    const file = path.join(home, 'doctor.sh');
    writeFileSync(file, TEXT);
    expect(execFileSync('shellcheck', ['-s', 'sh', file], { encoding: 'utf8' })).toBe('');
  });
});

describe('the text of doctor.sh', () => {
  it('knows placeholders by their marker and ends in the one line that starts it', () => {
    expect(TEXT).toContain(`"${MARKER.toLowerCase()}"`);
    expect(TEXT.trimEnd().split('\n').at(-1)).toBe('{ main "$@"; }');
  });
});
