/**
 * Who asks: source address and credential -> Identity, or the Reason why not (contract sections 5 and 11).
 * `identify` runs once per request on the proxy port, `stillValid` at every request inside a tunnel and at
 * every tick on open ones (invariant I10). Both are values in, values out; nothing here fails open.
 */
import { BlockList, isIP } from 'node:net';
import type { Snapshot } from '../config/snapshot.ts';
import type { Credential, Identity } from '../flow/identity.ts';
import { type Denied, denied } from '../flow/reason.ts';
import type { CompiledGroup } from '../policy/model.ts';
import type { TokenStore } from './token.ts';

export type IdentifyAsk = {
  /** `socket.remoteAddress`, `::ffff:` mapped or with a zone as it may be */
  readonly address: string;
  readonly credential: Credential;
};

export type Identifier = {
  readonly identify: (ask: IdentifyAsk, snapshot: Snapshot) => Identity | Denied;
  /** null while the identity may go on; `address` is the client's, as in `identify` */
  readonly stillValid: (identity: Identity, address: string, snapshot: Snapshot) => Denied | null;
};

/** Addresses remembered per group or snapshot; beyond, the memory starts anew. */
const MAX_REMEMBERED_ADDRESSES = 4096;

const REQUIRED = denied(
  'auth_required',
  'No group is identified by this address alone. Send an issued token as the password of the proxy URL.',
);
const INVALID = denied('auth_invalid', 'The proxy credential is not valid here.');

/** The one maker of Identity values. */
export function createIdentifier(opts: { tokens: TokenStore }): Identifier {
  const { tokens } = opts;
  const groupOf = createSourceMemory();
  const inSources = createMembership();

  const tokenAllowed = (groupName: string, address: string, snapshot: Snapshot): boolean => {
    const group = snapshot.set.groups.get(groupName);
    return group !== undefined && (group.sources.length === 0 || inSources(group, address));
  };

  const bySource = (address: string, snapshot: Snapshot): string | null => {
    const name = groupOf(snapshot, address);
    const group = name === null ? undefined : snapshot.set.groups.get(name);
    return group?.token === 'optional' ? group.name : null;
  };

  return {
    identify({ address, credential }, snapshot) {
      if (credential.kind === 'malformed') return INVALID;
      if (credential.kind === 'none') {
        const group = bySource(address, snapshot);
        return group === null ? REQUIRED : { id: `group:${group}`, group, proof: 'source' };
      }
      const record = tokens.verify(credential.token);
      if (record === null || !tokenAllowed(record.group, address, snapshot)) return INVALID;
      return { id: record.id, group: record.group, proof: 'token' };
    },

    stillValid(identity, address, snapshot) {
      if (identity.proof === 'source') {
        return bySource(address, snapshot) === identity.group ? null : REQUIRED;
      }
      const valid =
        tokens.alive(identity.id, identity.group) && tokenAllowed(identity.group, address, snapshot);
      return valid ? null : INVALID;
    },
  };
}

/** Longest-prefix look-ups of one snapshot, remembered: a client asks with the same address again and again. */
function createSourceMemory(): (snapshot: Snapshot, address: string) => string | null {
  const memory = new WeakMap<Snapshot, Map<string, string | null>>();
  return (snapshot, address) => {
    const known = remembered(memory, snapshot);
    let group = known.get(address);
    if (group === undefined) {
      group = snapshot.sources.lookup(plainAddress(address));
      remember(known, address, group);
    }
    return group;
  };
}

/**
 * Is the address in one of the group's own ranges? Not the same as the longest prefix: a token of the group
 * with 10.0.0.0/8 is good at 10.1.2.3 even where another group holds 10.1.0.0/16.
 */
function createMembership(): (group: CompiledGroup, address: string) => boolean {
  const ranges = new WeakMap<CompiledGroup, BlockList>();
  const memory = new WeakMap<CompiledGroup, Map<string, boolean>>();
  return (group, address) => {
    const known = remembered(memory, group);
    let inside = known.get(address);
    if (inside === undefined) {
      const list = ranges.get(group) ?? rangesOf(group.sources);
      ranges.set(group, list);
      inside = holds(list, plainAddress(address));
      remember(known, address, inside);
    }
    return inside;
  };
}

function rangesOf(sources: readonly string[]): BlockList {
  const list = new BlockList();
  for (const source of sources) {
    const [address = '', bits] = source.split('/');
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    if (bits === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(bits), family);
  }
  return list;
}

function holds(list: BlockList, address: string): boolean {
  const version = isIP(address);
  if (version === 0) return false;
  return list.check(address, version === 6 ? 'ipv6' : 'ipv4');
}

/** A dual-stack listener shows an IPv4 client as `::ffff:a.b.c.d`, and link-local clients with their zone. */
function plainAddress(address: string): string {
  const zone = address.indexOf('%');
  const bare = zone === -1 ? address : address.slice(0, zone);
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(bare);
  return mapped?.[1] ?? bare;
}

function remembered<K extends object, V>(memory: WeakMap<K, Map<string, V>>, key: K): Map<string, V> {
  let map = memory.get(key);
  if (map === undefined) {
    map = new Map();
    memory.set(key, map);
  }
  return map;
}

function remember<V>(map: Map<string, V>, address: string, value: V): void {
  if (map.size >= MAX_REMEMBERED_ADDRESSES) map.clear();
  map.set(address, value);
}
