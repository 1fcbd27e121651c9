import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { readSecret } from '../../../src/vault/read-secret.ts';
import { codeOf } from './folder.ts';

function terminal() {
  const modes: boolean[] = [];
  const input = Object.assign(new PassThrough(), {
    isTTY: true,
    setRawMode: (on: boolean) => modes.push(on),
  });
  const output = new PassThrough();
  const shown = (): string => String(output.read() ?? '');
  const read = () => readSecret({ input, output, prompt: 'Value: ', maxBytes: 100 });
  return { input, read, shown, modes };
}

describe('a secret from the terminal', () => {
  it.each([
    ['as typed', ['sk-\u00e9', ' 1\r'], 'sk-\u00e9 1'],
    ['with a backspace', ['abx\x7fc\n'], 'abc'],
    ['after Ctrl-U', ['wrong\x15right\r'], 'right'],
    ['key by key', ['a', 'b', 'c', '\r'], 'abc'],
    ['pasted with what follows', ['abc\rmore'], 'abc'],
  ])('is read %s, without echo', async (_how, chunks, value) => {
    const { input, read, shown, modes } = terminal();
    const reading = read();
    for (const chunk of chunks) input.write(chunk);
    expect((await reading).toString('utf8')).toBe(value);
    expect(shown()).toBe('Value: \n');
    expect(modes).toEqual([true, false]);
  });

  it.each(['abc\x03', '\x04'])('can be given up on', async (keys) => {
    const { input, read, modes } = terminal();
    const reading = read();
    input.write(keys);
    expect(await codeOf(() => reading)).toBe('empty');
    expect(modes).toEqual([true, false]);
  });
});

describe('a secret from a pipe', () => {
  const piped = (text: string): Promise<Buffer> => {
    const input = new PassThrough();
    input.end(text);
    return readSecret({ input, output: new PassThrough(), prompt: '', maxBytes: 10 });
  };

  it.each([
    ['value\n', 'value'],
    ['value', 'value'],
    ['a\nb\n', 'a\nb'],
    ['0123456789\r\n', '0123456789'],
  ])('is all of the input but its last newline: %j', async (text, value) => {
    expect((await piped(text)).toString()).toBe(value);
  });

  it('is refused when it is longer than allowed', async () => {
    expect(await codeOf(() => piped('0123456789abc'))).toBe('too_large');
  });
});
