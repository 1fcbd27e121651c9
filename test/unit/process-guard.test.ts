import { describe, expect, it } from 'vitest';
import { coreLimit, type Facts, problemOf } from '../../src/process-guard.ts';

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

  it('reads the limit of core files', () => {
    const line = 'Max core file size        0                    unlimited            bytes';
    expect(coreLimit(`Limit\n${line}\n`)).toBe('0');
    expect(coreLimit(line.replace('  0 ', '  unlimited '))).toBe('unlimited');
    expect(coreLimit('')).toBeNull();
  });
});
