/** Log injection: whatever stands in host, path or fields, a record stays one line of plain JSON. */

import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AttackWorld, attackWorld } from '../helpers/attack-world.ts';
import { jsonObject } from '../helpers/json.ts';
import { askOnce, open } from '../helpers/talk.ts';

describe('log injection', () => {
  let scene: AttackWorld;
  beforeAll(async () => {
    scene = await attackWorld();
  });
  afterAll(() => scene.stop());

  const NASTY = [
    '\r\n{"kind":"end"}',
    '\x1b[2J\x1b[31m',
    '"},{"kind":"end"',
    '\u0000',
    '\u2028',
    '\xff\xfe',
    '%0d%0a{"x":1}',
    "'; DROP",
  ];

  it('control characters never reach the file or the log as themselves', async () => {
    for (const text of NASTY) {
      for (const raw of [
        `GET http://evil.test/${text} HTTP/1.1\r\nHost: evil.test\r\nUser-Agent: ${text}\r\n\r\n`,
        `GET http://${text}/ HTTP/1.1\r\nHost: ${text}\r\n\r\n`,
        `CONNECT ${text}:443 HTTP/1.1\r\nHost: x\r\n\r\n`,
        `${text} / HTTP/1.1\r\nHost: x\r\n\r\n`,
        `GET /${text} HTTP/1.1\r\nHost: ${text}\r\n\r\n`,
      ]) {
        const client = await open(scene.world.port);
        client.write(Buffer.from(raw, 'latin1'));
        const head = await client.head();
        expect(head.head).toMatch(
          /^HTTP\/1\.1 [1-5][0-9]{2} [\x20-\x7e]*\r\n(?:[A-Za-z-]+: [\x20-\x7e]*\r\n)*\r\n$/,
        );
        client.destroy();
      }
    }
    const dir = path.join(scene.world.dir, '.sallyport', 'audit');
    const text = readdirSync(dir)
      .filter((name) => name.endsWith('.jsonl'))
      .map((name) => readFileSync(path.join(dir, name), 'latin1'))
      .join('');
    expect(text).toMatch(/^[\x20-\x7e\n]*$/);
    for (const line of text.trim().split('\n')) {
      const record = jsonObject(line);
      expect(record['seq']).toBeTypeOf('number');
      expect(record['kind']).toMatch(/^(decision|end)$/);
    }
    expect(scene.world.log()).toMatch(/^[\x20-\x7e\n]*$/);
    expect(await scene.world.metrics()).toMatch(/^[\x20-\x7e\n]*$/);
  });

  it('a path of many kilobytes is cut in the record', async () => {
    await askOnce(
      scene.world.port,
      `GET http://evil.test/${'a'.repeat(12_000)} HTTP/1.1\r\nHost: evil.test\r\n\r\n`,
    );
    const last = (await scene.world.audit()).at(-1);
    expect(JSON.stringify(last).length).toBeLessThan(4_000);
  });
});
