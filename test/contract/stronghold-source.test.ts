/** What `stronghold:` promises beyond the cases of all sources, with a stand-in for the vendor's program. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { parseDotenv } from '../../src/vault/dotenv.ts';
import { type SecretSource, SecretSourceError } from '../../src/vault/source.ts';
import { createStrongholdSource } from '../../src/vault/stronghold.ts';
import { type StandIn, shellQuoted, standInStronghold } from '../helpers/stand-in-stronghold.ts';

describe('an API Stronghold deployment', () => {
  let dir = '';
  let cli: StandIn;
  let source: SecretSource;

  const open = (env: Readonly<Record<string, string>> = cli.env): void => {
    source = createStrongholdSource({ base: dir, env, clock: systemClock });
  };
  const textOf = async (name: string) => (await source.get(name)).expose().toString();
  const failure = (name: string) =>
    source.get(name).then(
      () => 'no error',
      (error: unknown) =>
        `${error instanceof SecretSourceError ? error.code : ''} ${inspect(error, { depth: 9 })}`,
    );

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'sallyport-stronghold-'));
    cli = standInStronghold(dir);
    open();
  });
  afterEach(() => {
    source.close?.();
    rmSync(dir, { recursive: true, force: true });
  });

  it('gives all of its keys by one run of the CLI', async () => {
    cli.prints('production', 'export A=value-a\nexport B="value b"\n');
    expect(await Promise.all([textOf('production#A'), textOf('production#B')])).toEqual([
      'value-a',
      'value b',
    ]);
    expect(readFileSync(cli.runs, 'utf8')).toBe('run\n');
  });

  it('does not give a key that is excluded from the group of its user', async () => {
    cli.prints('production', 'export A=value-a\n');
    expect(await failure('production#EMAIL_API_KEY')).toMatch(/not_found/);
  });

  it('takes nothing of what it cannot read whole, and shows none of it', async () => {
    cli.prints('production', "export A=value-a\nexport B='sk-secret\nexport C=sk-secret\n");
    const text = await failure('production#A');
    expect(text).toMatch(/damaged.*line 2.*B: the quote is not closed/s);
    expect(text).not.toContain('sk-secret');
  });

  it('takes nothing that is no text: bytes that were replaced would be another key', async () => {
    cli.prints('production', Buffer.from('export A=sk-\xff\xfe\n', 'latin1'));
    expect(await failure('production#A')).toMatch(/damaged.*not UTF-8/s);
  });

  it('says what to look at when the CLI is missing or not logged in', async () => {
    cli.logOut();
    expect(await failure('production#A')).toMatch(/unreadable.*logged in/s);
    source.close?.();
    open({ PATH: join(dir, 'nowhere') });
    expect(await failure('production#A')).toMatch(/unreadable.*not on the PATH/s);
  });

  it('is asked for by the program that API_STRONGHOLD_CLI names', async () => {
    cli.prints('production', 'export A=value-a\n');
    source.close?.();
    open({
      ...cli.env,
      PATH: process.env['PATH'] ?? '',
      API_STRONGHOLD_CLI: join(dir, 'bin/api-stronghold-cli'),
    });
    expect(await textOf('production#A')).toBe('value-a');
  });

  it('means what a shell would read, however its values are quoted', () => {
    const double = (text: string): string => `"${text.replace(/[\\"$`]/g, '\\$&')}"`;
    const bare = (text: string): string => text.replace(/[^A-Za-z0-9]/g, '\\$&');
    const value = fc
      .array(fc.constantFrom(...'ab1 \t\'"\\$`;&|#=!*~()'.split(''), '\n', '\r\n'), {
        minLength: 1,
        maxLength: 12,
      })
      .map((chars) => chars.join(''));
    fc.assert(
      fc.property(value, value, value, (a, b, c) => {
        // What a shell makes of `\n` in double quotes is two characters; of a bare line end, none.
        const plainB = b.replaceAll('\\', '');
        const plainC = c.replace(/[\r\n]/g, '');
        const text = `export A=${shellQuoted(a)} # note\nexport B=${double(plainB)}; export C=${bare(plainC)}\n`;
        const { entries, faults } = parseDotenv(text, { shell: true });
        expect(faults).toEqual([]);
        const shell = spawnSync('sh', ['-c', 'eval "$1"; printf "%s\\1" "$A" "$B" "$C"', 'sh', text]);
        expect(entries.map((entry) => entry.value)).toEqual(
          shell.stdout.toString().split('\x01').slice(0, 3),
        );
      }),
      { numRuns: 60 },
    );
  });
});
