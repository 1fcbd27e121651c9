import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type FileWatch, watchFiles } from '../../../src/base/watch-file.ts';

/** No look of its own accord within a test: what is noticed, an event of the folder told. */
const NEVER_MS = 600_000;

let dir: string;
let watch: FileWatch;
const onChange = vi.fn();
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sallyport-watch-'));
  onChange.mockReset();
});
afterEach(() => {
  watch.stop();
  rmSync(dir, { recursive: true, force: true });
});

const noticed = () => vi.waitFor(() => expect(onChange).toHaveBeenCalled(), { timeout: 3_000, interval: 2 });

describe('a watched file', () => {
  it('that is replaced is noticed without waiting for the next look', async () => {
    writeFileSync(join(dir, 'key'), 'old');
    watch = watchFiles(onChange, NEVER_MS);
    watch.add(join(dir, 'key'));
    writeFileSync(join(dir, 'key.new'), 'new');
    renameSync(join(dir, 'key.new'), join(dir, 'key'));
    await noticed();
    onChange.mockReset();
    rmSync(join(dir, 'key'));
    await noticed();
  });

  it('behind a swapped folder link is noticed at once, as Kubernetes swaps it', async () => {
    for (const name of ['..1', '..2']) {
      mkdirSync(join(dir, name));
      writeFileSync(join(dir, name, 'key'), name);
    }
    symlinkSync('..1', join(dir, '..data'));
    symlinkSync('..data/key', join(dir, 'key'));
    watch = watchFiles(onChange, NEVER_MS);
    watch.add(join(dir, 'key'));
    symlinkSync('..2', join(dir, '..next'));
    renameSync(join(dir, '..next'), join(dir, '..data'));
    await noticed();
  });

  it('is not looked at for the sake of its neighbours', async () => {
    writeFileSync(join(dir, 'key'), 'old');
    watch = watchFiles(onChange, NEVER_MS);
    watch.add(join(dir, 'key'));
    // Events come in order: when the key's own is noticed, the neighbour's has been passed over.
    writeFileSync(join(dir, 'neighbour'), 'x');
    writeFileSync(join(dir, 'key'), 'new');
    await noticed();
    expect(onChange).toHaveBeenCalledTimes(1);
  });

  it('in a folder that does not exist yet is noticed all the same, by looking', async () => {
    watch = watchFiles(onChange, 20);
    watch.add(join(dir, 'later', 'key'));
    await noticed();
    onChange.mockReset();
    mkdirSync(join(dir, 'later'));
    writeFileSync(join(dir, 'later', 'key'), 'new');
    await noticed();
  });

  it('that could not be used is tried again at each look until it can, though it does not change', async () => {
    writeFileSync(join(dir, 'key'), 'same');
    const answers = [false, false, true];
    onChange.mockImplementation(() => answers.shift());
    watch = watchFiles(onChange, 20);
    // Old enough that nothing but a change, or a no, is a reason to be called.
    utimesSync(join(dir, 'key'), 1, 1);
    watch.add(join(dir, 'key'));
    await vi.waitFor(() => expect(answers).toEqual([]), { timeout: 3_000, interval: 2 });
  });
});
