/**
 * Writes the JSON Schemas that editors use from the zod sources: `npm run schemas`. With `--check` it
 * writes nothing and ends with status 1 when a file is not current (part of `npm run check`).
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { jsonSchemaOf } from '../policy/schema.ts';
import { settingsJsonSchema } from './settings-schema.ts';

const FOLDER = join(import.meta.dirname, '../../policies/schema');

/** File name and text of every schema. */
function schemaFiles(): ReadonlyMap<string, string> {
  const text = (schema: object) => `${JSON.stringify(schema, null, 2)}\n`;
  return new Map([
    ['policy.json', text(jsonSchemaOf('policy'))],
    ['profile.json', text(jsonSchemaOf('profile'))],
    ['guardrails.json', text(jsonSchemaOf('guardrails'))],
    ['settings.json', text(settingsJsonSchema())],
  ]);
}

function stale(): readonly string[] {
  return [...schemaFiles()].filter(([name, text]) => readOrNull(name) !== text).map(([name]) => name);
}

function readOrNull(name: string): string | null {
  try {
    return readFileSync(join(FOLDER, name), 'utf8');
  } catch {
    return null; // missing counts as not current
  }
}

function run(check: boolean): void {
  const names = stale();
  if (check) {
    if (names.length === 0) return;
    process.stderr.write(`policies/schema is not current (${names.join(', ')}): run npm run schemas\n`);
    process.exitCode = 1;
    return;
  }
  mkdirSync(FOLDER, { recursive: true });
  const files = schemaFiles();
  for (const name of names) writeFileSync(join(FOLDER, name), files.get(name) ?? '');
  process.stdout.write(names.length === 0 ? 'schemas are current\n' : `wrote ${names.join(', ')}\n`);
}

run(process.argv.includes('--check'));
