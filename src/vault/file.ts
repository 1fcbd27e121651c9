/**
 * `file:PATH`: one value per file, as Docker, Kubernetes and systemd hand secrets over. Read again when the
 * file changes. One trailing newline is not part of the value: editors and `echo` put it there.
 */
import { open } from 'node:fs/promises';
import { resolve } from 'node:path';
import { errorCode } from '../base/error-code.ts';
import { type FileWatch, watchFiles } from '../base/watch-file.ts';
import { MAX_VALUE_BYTES, type SecretSource, SecretSourceError, valueFrom } from './source.ts';

/** `base`: folder that relative paths count from. */
export function createFileSource(opts: { base: string }): SecretSource {
  const known = new Set<string>();
  const watches = new Set<FileWatch>();
  return {
    kind: 'file',
    async get(name) {
      const path = resolve(opts.base, name);
      known.add(path);
      for (const watch of watches) watch.add(path);
      return valueFrom(`file:${name}`, withoutNewline(await readCapped(path)));
    },
    watch(onChange) {
      const watch = watchFiles(onChange);
      for (const path of known) watch.add(path);
      watches.add(watch);
      return () => {
        watches.delete(watch);
        watch.stop();
      };
    },
  };
}

/** At most one byte more than allowed plus a newline, so that a huge file costs nothing. */
async function readCapped(path: string): Promise<Buffer> {
  try {
    const file = await open(path, 'r');
    try {
      const found = await file.stat();
      if (!found.isFile()) throw new SecretSourceError('unreadable', `${path} is not a regular file`);
      const buffer = Buffer.alloc(MAX_VALUE_BYTES + 3);
      const { bytesRead } = await file.read(buffer, 0, buffer.length, 0);
      return buffer.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof SecretSourceError) throw error;
    const missing = errorCode(error) === 'ENOENT';
    throw new SecretSourceError(
      missing ? 'not_found' : 'unreadable',
      missing ? `${path} does not exist` : `${path} cannot be read`,
      { cause: error },
    );
  }
}

/** Also used for what people pipe into `vault set`. */
export function withoutNewline(bytes: Buffer): Buffer {
  if (bytes.at(-1) !== 0x0a) return bytes;
  return bytes.subarray(0, bytes.at(-2) === 0x0d ? -2 : -1);
}
