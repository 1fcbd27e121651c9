import { Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { createLog, type LogOptions } from '../../../src/base/log.ts';

function capture(opts: Omit<LogOptions, 'stream'> = {}): {
  log: ReturnType<typeof createLog>;
  text: () => string;
} {
  let text = '';
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      text += chunk.toString('utf8');
      done();
    },
  });
  return { log: createLog({ ...opts, stream }), text: () => text };
}

const TOKEN = `sp_tok_${'a'.repeat(16)}_${'Z'.repeat(43)}`;

describe('the log', () => {
  it('writes one JSON line per message, with an ISO time', () => {
    const { log, text } = capture();
    log.info({ file: 'policies/a.yaml' }, 'reloaded');
    const line: unknown = JSON.parse(text());
    expect(line).toMatchObject({ level: 30, file: 'policies/a.yaml', msg: 'reloaded' });
    expect(text()).toMatch(/"time":"\d{4}-\d\d-\d\dT/);
    expect(text().endsWith('\n')).toBe(true);
  });

  it('keeps quiet below its level', () => {
    const { log, text } = capture({ level: 'warn' });
    log.info('no');
    log.warn('yes');
    expect(text()).not.toContain('no"');
    expect(text()).toContain('yes');
  });

  it.each([
    ['a token in the message', (log: ReturnType<typeof createLog>) => log.info(`client sent ${TOKEN}`)],
    ['a token in a field', (log: ReturnType<typeof createLog>) => log.info({ seen: TOKEN }, 'x')],
    ['a token in an error', (log: ReturnType<typeof createLog>) => log.error(new Error(`bad ${TOKEN}`))],
    [
      'the token of the admin side',
      (log: ReturnType<typeof createLog>) => log.info(`asked with spa_${'Z'.repeat(43)}`),
    ],
    [
      "an operator's token",
      (log: ReturnType<typeof createLog>) => log.info({ who: `spo_ann.b-c_${'Z'.repeat(43)}` }, 'x'),
    ],
    [
      'credentials in a URL',
      (log: ReturnType<typeof createLog>) => log.info(`http://g:${TOKEN}@proxy:8080/`),
    ],
    ['a password field', (log: ReturnType<typeof createLog>) => log.info({ password: TOKEN }, 'x')],
    [
      'a nested secret',
      (log: ReturnType<typeof createLog>) => log.info({ head: { authorization: TOKEN } }, 'x'),
    ],
    [
      'a Basic value',
      (log: ReturnType<typeof createLog>) =>
        log.info(`proxy-authorization: Basic ${Buffer.from(`g:${TOKEN}`).toString('base64')}`),
    ],
  ])('never shows %s', (_what, say) => {
    for (const pretty of [false, true]) {
      const { log, text } = capture({ pretty });
      say(log);
      expect(text()).not.toBe('');
      expect(text()).not.toContain('ZZZZ');
      expect(text()).not.toContain(Buffer.from(`g:${TOKEN}`).toString('base64'));
    }
  });

  it('leaves ordinary words about authentication alone', () => {
    const { log, text } = capture();
    log.info('Basic authentication is asked for at http://proxy:8080/ by user@example.test');
    expect(text()).toContain('Basic authentication is asked for at http://proxy:8080/ by user@example.test');
  });

  it('writes one plain line for people, with control characters made visible', () => {
    const { log, text } = capture({ pretty: true });
    log.warn({ host: 'evil\x1b[2J\n', err: new Error('boom') }, 'odd\x07');
    expect(text()).toMatch(/^\d\d:\d\d:\d\d warn {2}odd\\x07 host=evil\\x1b\[2J\\x0a err=boom\n$/);
  });

  it('colours the level only when told to', () => {
    const { log, text } = capture({ pretty: true, colour: true });
    log.error('x');
    expect(text()).toContain('\x1b[31merror\x1b[0m');
  });
});
