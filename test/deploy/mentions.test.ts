/** What is written below deploy/ about the product is there: commands, options, variables, files beside the page. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { beforeAll, describe, expect, it } from 'vitest';
import { runProgram } from '../../src/cli/program.ts';
import { settingsJsonSchema } from '../../src/config/settings-schema.ts';
import { isLoose } from '../helpers/compose.ts';
import { ROOT } from '../helpers/import-table.ts';

const DEPLOY = path.join(ROOT, 'deploy');
const FILES = readdirSync(DEPLOY, { recursive: true, encoding: 'utf8' })
  .filter(
    (name) => statSync(path.join(DEPLOY, name)).isFile() && !name.endsWith('.json') && !name.endsWith('.png'),
  )
  .map((name): [string, string] => [name, readFileSync(path.join(DEPLOY, name), 'utf8')]);
const PAGES = FILES.filter(([name]) => name.endsWith('.md'));

/** Of images, compose files and sandboxes, not of the product's settings. */
const OWN = ['SALLYPORT_IMAGE', 'SALLYPORT_URL', 'SALLYPORT_PROFILE'];

async function help(...argv: string[]): Promise<string> {
  const stdout = new PassThrough();
  const io = { stdin: new PassThrough(), stdout, stderr: new PassThrough(), env: {}, cwd: ROOT };
  if ((await runProgram([...argv, '--help'], io)) !== 0) return '';
  return String(stdout.read() ?? '');
}

/** Names in the Commands section of a help text. */
function commandsIn(text: string): string[] {
  const [, section = ''] = text.split('\nCommands:\n');
  const lines = section.split('\n\n')[0]?.split('\n') ?? [];
  return lines.flatMap((line) => /^ {2}([a-z]+)/.exec(line)?.[1] ?? []);
}

/** Variables of all settings. */
function variables(schema: unknown, at: readonly string[] = ['SALLYPORT']): string[] {
  const properties = isLoose(schema) ? schema['properties'] : undefined;
  if (!isLoose(properties)) return [at.join('_').toUpperCase()];
  return Object.entries(properties).flatMap(([key, inner]) => variables(inner, [...at, key]));
}

describe('the pages', () => {
  let top: string[] = [];
  const helps = new Map<string, string>();
  beforeAll(async () => {
    top = commandsIn(await help());
    for (const name of top) {
      helps.set(name, await help(name));
      for (const sub of commandsIn(helps.get(name) ?? '')) helps.set(`${name} ${sub}`, await help(name, sub));
    }
  });

  it('name commands and options that there are', () => {
    // In code, where the word before it is no name of a service, a user or a Secret.
    const lines = PAGES.flatMap(([name, text]) =>
      [...text.matchAll(/`([^`]+)`|```[a-z]*\n([\s\S]*?)```/g)].flatMap(([, span, block]) =>
        (span ?? block ?? '').split('\n').map((line): [string, string] => [name, line]),
      ),
    );
    const seen: string[] = [];
    for (const [page, line] of lines) {
      for (const [, tail = ''] of line.matchAll(/(?:^|\| |-- |-T sallyport |npx )sallyport ([a-z].*)$/g)) {
        const [command = '', next = ''] = tail.split(' ');
        expect(top, `${page}: ${line}`).toContain(command);
        const both = `${command} ${next}`;
        const text = helps.get(both) ?? helps.get(command) ?? '';
        if (/^[a-z]+$/.test(next) && commandsIn(helps.get(command) ?? '').length > 0)
          expect([...helps.keys()], `${page}: ${line}`).toContain(both);
        for (const [option] of tail.split(/[|<>]/)[0]?.matchAll(/--[a-z-]+/g) ?? [])
          expect(text, `${page}: ${line}`).toContain(option);
        seen.push(both);
      }
    }
    expect(seen.length).toBeGreaterThan(15);
  });

  it('ask for nothing in a container that the image does not have', () => {
    const inside = PAGES.flatMap(([page, text]) =>
      [...text.matchAll(/(?:compose exec|kubectl -n sallyport exec)[^`\n]*/g)].map(
        ([line]) => `${page}: ${line}`,
      ),
    );
    expect(inside.length).toBeGreaterThan(3);
    for (const line of inside) expect(line).not.toMatch(/\b(?:npx|npm|curl|jq)\b/);
  });

  it('link to files that there are', () => {
    for (const [page, text] of PAGES)
      for (const [, link = ''] of text.matchAll(/`(\.\.\/[\w./-]+)`/g))
        expect(existsSync(path.join(DEPLOY, path.dirname(page), link)), `${page}: ${link}`).toBe(true);
  });

  it('begin with one that names every folder', () => {
    const first = readFileSync(path.join(DEPLOY, 'README.md'), 'utf8');
    for (const name of readdirSync(DEPLOY).filter((one) => statSync(path.join(DEPLOY, one)).isDirectory()))
      expect(first).toContain(`\`${name}/\``);
  });
});

describe('the files', () => {
  it('set variables that the product reads', () => {
    const known = [
      ...variables(settingsJsonSchema()),
      ...OWN,
      'SALLYPORT_CONFIG',
      'SALLYPORT_DIR',
      'SALLYPORT_VAULT_PASSPHRASE_FILE',
      'SALLYPORT_REDIS_KEY_FILE',
      'SALLYPORT_REDIS_PASSWORD_FILE',
    ];
    const used = FILES.flatMap(([name, text]) =>
      [...text.matchAll(/\bSALLYPORT_[A-Z_]+\b/g)].map(([word]): [string, string] => [name, word]),
    );
    expect(used.length).toBeGreaterThan(10);
    for (const [name, word] of used) expect(known, `${name}: ${word}`).toContain(word);
  });
});
