import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';

describe('what the engine is told', () => {
  it('is understood by it', () => {
    const script = `import(${JSON.stringify(new URL('../../../src/base/engine.ts', import.meta.url).href)}).then((engine) => engine.tuneEngine())`;
    const { status, stderr } = spawnSync(process.execPath, ['-e', script], { encoding: 'utf8' });
    expect([status, stderr]).toEqual([0, '']);
  });
});
