/**
 * Reads a secret that a person types or a program pipes in (contract section 7: never from arguments, where
 * `ps` and the shell's history would show it). Used by the `vault` commands.
 */
import type { Readable, Writable } from 'node:stream';
import { withoutNewline } from './file.ts';
import { MAX_VALUE_BYTES, SecretSourceError } from './source.ts';

type Terminal = Readable & { readonly isTTY?: boolean; setRawMode?(on: boolean): unknown };

/** From the terminal without echo where there is one, else all of the input. One trailing newline is not kept. */
export async function readSecret(ask: {
  input: Terminal;
  output: Writable;
  prompt: string;
  maxBytes: number;
}): Promise<Buffer> {
  const { input } = ask;
  if (input.isTTY === true && input.setRawMode !== undefined) {
    ask.output.write(ask.prompt);
    input.setRawMode(true);
    try {
      return await readTyped(input);
    } finally {
      input.setRawMode(false);
      input.pause();
      ask.output.write('\n');
    }
  }
  return withoutNewline(await readAll(input, ask.maxBytes + 2));
}

/** The whole input; throws `too_large` past `maxBytes`. */
export async function readAll(input: Readable, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of input) {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk, 'utf8') : asBuffer(chunk);
    size += bytes.length;
    if (size > maxBytes)
      throw new SecretSourceError('too_large', `the input is longer than ${maxBytes} bytes`);
    chunks.push(bytes);
  }
  return Buffer.concat(chunks);
}

function asBuffer(chunk: unknown): Buffer {
  if (chunk instanceof Uint8Array) return Buffer.from(chunk);
  throw new TypeError('the input is not a stream of bytes');
}

const ENTER = new Set([0x0a, 0x0d]);
const CTRL_C = 0x03;
const CTRL_D = 0x04;
const CTRL_U = 0x15;
const BACKSPACE = new Set([0x08, 0x7f]);

/** A raw terminal leaves line editing to us: backspace, Ctrl-U, and Ctrl-C or Ctrl-D to give up. */
function readTyped(input: Terminal): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const line = typedLine();
    const settle = (outcome: TypedLine): void => {
      if (outcome.kind === 'open') return;
      input.off('data', onData);
      input.off('end', onEnd);
      if (outcome.kind === 'done') resolve(outcome.bytes);
      else reject(new SecretSourceError('empty', 'given up'));
    };
    const onEnd = (): void => settle(line([0x0d]));
    const onData = (chunk: Buffer | string): void => settle(line(Buffer.from(chunk)));
    input.on('data', onData);
    input.on('end', onEnd);
    input.resume();
  });
}

type TypedLine = { readonly kind: 'open' | 'left' } | { readonly kind: 'done'; readonly bytes: Buffer };

function typedLine(): (bytes: Iterable<number>) => TypedLine {
  const typed: number[] = [];
  return (bytes) => {
    for (const byte of bytes) {
      if (ENTER.has(byte)) return { kind: 'done', bytes: Buffer.from(typed) };
      if (byte === CTRL_C || byte === CTRL_D) return { kind: 'left' };
      edit(typed, byte);
    }
    return { kind: 'open' };
  };
}

function edit(typed: number[], byte: number): void {
  if (byte === CTRL_U) typed.length = 0;
  else if (BACKSPACE.has(byte)) typed.pop();
  else if (typed.length < MAX_VALUE_BYTES) typed.push(byte);
}
