import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parseNameServer, parseResolvConf, systemNameServers } from '../../../src/dial/dns-servers.ts';
import { stillClock } from './kit.ts';

const folder = mkdtempSync(join(tmpdir(), 'sallyport-dns-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe('a name server of the settings', () => {
  it.each([
    ['10.0.0.2', { host: '10.0.0.2', port: 53 }],
    ['127.0.0.1:5300', { host: '127.0.0.1', port: 5300 }],
    ['::1', { host: '::1', port: 53 }],
    ['[::1]', { host: '::1', port: 53 }],
    ['[::1]:5300', { host: '::1', port: 5300 }],
  ])('may be written %s', (text, expected) => {
    expect(parseNameServer(text)).toEqual(expected);
  });

  it.each(['dns.example.com', '10.0.0.2:0', '10.0.0.2:65536', '10.0.0', '[10.0.0.1]:53', '', '1.1.1.1:'])(
    'may not be written %j',
    (text) => {
      expect(() => parseNameServer(text)).toThrow(expect.objectContaining({ code: 'ERR_DNS_SERVER' }));
    },
  );
});

describe('the system’s name servers', () => {
  it('are the first three addresses; search domains and options do not count', () => {
    const text = `# made by hand\nsearch corp.example\nnameserver 10.0.0.1\nnameserver\tfe80::1%eth0\n
      nameserver 9.9.9.9\nnameserver bogus\nnameserver 10.0.0.3 # third\nnameserver 10.0.0.4\noptions ndots:5\n`;
    expect(parseResolvConf(text).map((server) => server.host)).toEqual([
      '10.0.0.1',
      'fe80::1%eth0',
      '10.0.0.3',
    ]);
  });

  it('are read again when the file changes, and gone when it is gone', () => {
    const file = join(folder, 'resolv.conf');
    const clock = stillClock();
    const servers = systemNameServers(file, clock);
    expect(servers()).toEqual([]);
    writeFileSync(file, 'nameserver 10.0.0.1\n');
    clock.tick(2_000);
    expect(servers()).toEqual([{ host: '10.0.0.1', port: 53 }]);
    writeFileSync(file, 'nameserver 10.0.0.22\n');
    expect(servers()).toEqual([{ host: '10.0.0.1', port: 53 }]);
    clock.tick(2_000);
    expect(servers()).toEqual([{ host: '10.0.0.22', port: 53 }]);
    rmSync(file);
    clock.tick(2_000);
    expect(servers()).toEqual([]);
  });

  it('are none while the file cannot be read, and those of the file when it can', () => {
    const file = join(folder, 'resolv.conf');
    const clock = stillClock();
    const servers = systemNameServers(file, clock);
    for (const bad of [() => mkdirSync(file), () => symlinkSync(file, file)]) {
      bad();
      clock.tick(2_000);
      expect(servers()).toEqual([]);
      rmSync(file, { recursive: true });
      writeFileSync(file, 'nameserver 10.0.0.1\n');
      clock.tick(2_000);
      expect(servers()).toEqual([{ host: '10.0.0.1', port: 53 }]);
      rmSync(file);
    }
  });
});
