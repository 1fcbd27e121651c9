/**
 * Says at the end of a run which real clients took part, with their versions, and which were missing.
 * A global set-up of the live tests (vitest.config.ts); `noteClient` is called while test files are collected.
 */
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { inject } from 'vitest';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  export interface ProvidedContext {
    /** one line for each client that a test file names */
    clientsFile: string;
  }
}

export function setup(project: TestProject): () => void {
  const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-clients-'));
  const file = path.join(folder, 'clients');
  writeFileSync(file, '');
  project.provide('clientsFile', file);
  return () => {
    const lines = [...new Set(readFileSync(file, 'utf8').split('\n'))].filter((line) => line !== '').sort();
    rmSync(folder, { recursive: true, force: true });
    if (lines.length > 0)
      process.stdout.write(`\nClients that were driven:\n${lines.map((line) => `  ${line}\n`).join('')}`);
  };
}

/** One line of the summary; `version` null: the machine lacks it, and its tests are skipped. */
export function noteClient(name: string, version: string | null): void {
  appendFileSync(inject('clientsFile'), `${name.padEnd(26)} ${version ?? 'NOT HERE, skipped'}\n`);
}
