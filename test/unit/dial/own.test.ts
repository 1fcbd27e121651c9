import type { NetworkInterfaceInfo } from 'node:os';
import { describe, expect, it } from 'vitest';
import { createOwnAddresses } from '../../../src/dial/own.ts';
import { stillClock } from './kit.ts';

const face = (address: string, internal: boolean): NetworkInterfaceInfo => ({
  address,
  internal,
  family: 'IPv4',
  netmask: '255.255.255.0',
  mac: '00:00:00:00:00:00',
  cidr: null,
});

describe('the proxy’s own addresses', () => {
  it('are those of its interfaces without loopback, read at most every two seconds', () => {
    const clock = stillClock();
    let reads = 0;
    const own = createOwnAddresses({
      clock,
      listeners: () => [{ address: '0.0.0.0', port: 8080 }],
      interfaces: () => {
        reads += 1;
        return {
          lo: [face('127.0.0.1', true), face('10.9.9.9', true)],
          eth0: [face(`192.0.2.${reads}`, false)],
        };
      },
    });
    expect(own()).toEqual({
      addresses: ['192.0.2.1'],
      local: ['127.0.0.1', '10.9.9.9', '192.0.2.1'],
      listeners: [{ address: '0.0.0.0', port: 8080 }],
    });
    expect(own()).toBe(own());
    clock.tick(1_999);
    expect(own().addresses).toEqual(['192.0.2.1']);
    clock.tick(1);
    expect(own().addresses).toEqual(['192.0.2.2']);
  });

  it('name listeners as they are now, not as they were at the last reading', () => {
    const listeners: { address: string; port: number }[] = [];
    const own = createOwnAddresses({ clock: stillClock(), listeners: () => listeners });
    expect(own().listeners).toEqual([]);
    listeners.push({ address: '127.0.0.1', port: 9090 });
    expect(own().listeners).toEqual([{ address: '127.0.0.1', port: 9090 }]);
  });

  it('stop everything when the system does not tell them', () => {
    const interfaces = () => {
      throw new Error('EPERM');
    };
    expect(createOwnAddresses({ clock: stillClock(), listeners: () => [], interfaces })).toThrow('EPERM');
  });
});
