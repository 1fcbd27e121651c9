/** Snapshots with nothing in them but groups and their sources, for tests of who is who. */
import { BlockList } from 'node:net';
import type { Snapshot } from '../../../src/config/snapshot.ts';
import type { CompiledGroup } from '../../../src/policy/model.ts';

type GroupAsk = Pick<CompiledGroup, 'name'> & Partial<CompiledGroup>;

export function fakeSnapshot(groups: readonly GroupAsk[]): Snapshot {
  const compiled = groups.map(fakeGroup);
  return {
    id: 'abc.1',
    loadedAt: 0,
    set: {
      groups: new Map(compiled.map((group) => [group.name, group])),
      guardrails: [],
      enforceOnly: false,
      hash: 'abc123def456',
      warnings: [],
    },
    sources: { lookup: (address) => longestPrefix(compiled, address) },
  };
}

function fakeGroup(group: GroupAsk): CompiledGroup {
  return {
    mode: 'enforce',
    sources: [],
    token: 'optional',
    refuse: 'on_connect',
    rules: [],
    secrets: [],
    secretTotal: 0,
    excluded: [],
    tests: [],
    file: `policies/${group.name}.yaml`,
    ...group,
  };
}

function longestPrefix(groups: readonly CompiledGroup[], address: string): string | null {
  const family = address.includes(':') ? 'ipv6' : 'ipv4';
  let best = -1;
  let found: string | null = null;
  for (const group of groups) {
    for (const source of group.sources) {
      const [net = '', bits = net.includes(':') ? '128' : '32'] = source.split('/');
      const list = new BlockList();
      list.addSubnet(net, Number(bits), net.includes(':') ? 'ipv6' : 'ipv4');
      if (Number(bits) > best && list.check(address, family)) {
        best = Number(bits);
        found = group.name;
      }
    }
  }
  return found;
}
