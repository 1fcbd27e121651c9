import { describe, expect, it } from 'vitest';
import { coreLimit, type Facts, placeOf, problemOf } from '../../src/process-guard.ts';

const FINE: Facts = { execArgv: ['--disable-sigusr1'], env: {}, inspector: undefined };

describe('a process that will hold keys', () => {
  it('may run with options that show nothing', () => {
    const env = {
      NODE_OPTIONS: '--max-old-space-size=512 --no-warnings --inspect-port=0 --enable-source-maps',
    };
    expect(problemOf({ ...FINE, env })).toBeNull();
    expect(problemOf(FINE)).toBeNull();
  });

  it.each([
    '--inspect',
    '--inspect=127.0.0.1:0',
    '--inspect-brk=0',
    '--inspect_wait',
    '"--inspect"',
    '--heapsnapshot-signal=SIGUSR2',
    '--heapsnapshot_near_heap_limit=2',
    '--heap-prof',
    '--report-on-signal',
    '--report-on-fatalerror',
    '--report-uncaught-exception',
    '--abort-on-uncaught-exception',
    '--tls-keylog=/tmp/keys',
    '--trace-tls',
  ])('may not run with %s, on the command line or in NODE_OPTIONS', (option) => {
    const name = option.replaceAll('"', '').replaceAll('_', '-').split('=')[0] ?? '';
    expect(problemOf({ ...FINE, execArgv: [option] })).toContain(name);
    expect(problemOf({ ...FINE, env: { NODE_OPTIONS: `--no-warnings  ${option}` } })).toContain(
      `with ${name}:`,
    );
  });

  it('may not run with an inspector that is open, nor where Node prints what passes', () => {
    expect(problemOf({ ...FINE, inspector: 'ws://127.0.0.1:9229/x' })).toContain('inspector');
    expect(problemOf({ ...FINE, env: { NODE_DEBUG: 'tls' } })).toContain('NODE_DEBUG');
    expect(problemOf({ ...FINE, env: { NODE_DEBUG: '' } })).toBeNull();
  });

  it('says where an error ended it, and nothing of what the error is about', () => {
    const error = Object.assign(new TypeError('bad key sk-secret\n    at sk-secret (sk-secret)'), {
      code: 'ERR_TEST',
      buffer: Buffer.from('sk-secret'),
    });
    const place = placeOf(error, false);
    expect(place).toMatch(/^TypeError ERR_TEST\n {4}at .*process-guard\.test\.ts:\d+:\d+/);
    expect(place).not.toContain('secret');
    expect(placeOf(error, true)).toContain('bad key');
    for (const thrown of ['sk-secret', { toString: () => 'sk-secret' }, null]) {
      expect(placeOf(thrown, false)).toMatch(/^(?:string|object)$/);
    }
  });

  it('reads the limit of core files', () => {
    const line = 'Max core file size        0                    unlimited            bytes';
    expect(coreLimit(`Limit\n${line}\n`)).toBe('0');
    expect(coreLimit(line.replace('  0 ', '  unlimited '))).toBe('unlimited');
    expect(coreLimit('')).toBeNull();
  });
});
