/**
 * The address guard: which IP addresses may be dialled. `dial/` asks it for every literal and every DNS
 * answer before connecting to exactly that address (invariant I2). What is not public is dialled only where a rule
 * opens it, metadata services and the proxy's own listeners never. Unparsable text is not public (fail closed).
 */
import type { Cidr } from '../flow/verdict.ts';
import { classify, embedded } from './address-class.ts';
import { canonicalAddress, holds, type Ip, ipText, parseIp, unmap } from './address-text.ts';

/** The proxy's own interfaces and listeners: a loop into itself is never dialled. */
export type OwnAddresses = {
  /** of non-loopback interfaces, and those that listeners are bound to */
  readonly addresses: readonly string[];
  /** of every interface, service addresses on the loopback one included: where a wildcard listener answers */
  readonly local: readonly string[];
  /** address may be 0.0.0.0 or :: */
  readonly listeners: readonly { readonly address: string; readonly port: number }[];
};

export type AddressAsk = {
  readonly address: string;
  readonly port: number;
  /** CIDRs of the matching rule */
  readonly allowed: readonly Cidr[];
  readonly own: OwnAddresses;
};

/**
 * May this address be dialled on behalf of a rule that opens `allowed`? Metadata services, unspecified
 * addresses and the proxy's own listeners never; own interface addresses and everything that is not
 * public only when `allowed` holds the address as dialled (IPv4-mapped IPv6 counts as its IPv4).
 */
export function judgeAddress(ask: AddressAsk): 'ok' | 'blocked' {
  const ip = parseIp(ask.address);
  if (ip === null) return 'blocked';
  const dialled = unmap(ip);
  const kind = classify(dialled);
  if (kind.metadata || kind.kind === 'unspecified') return 'blocked';
  const faces = [dialled, ...embedded(dialled)];
  if (ask.own.listeners.some((at) => at.port === ask.port && listensOn(at.address, faces, ask.own))) {
    return 'blocked';
  }
  const plain = kind.public && !faces.some((face) => isAmong(face, ask.own.addresses));
  return plain || holds(ask.allowed, dialled) ? 'ok' : 'blocked';
}

function isAmong(ip: Ip, addresses: readonly string[]): boolean {
  const text = ipText(ip);
  return addresses.some((address) => canonicalAddress(address) === text);
}

/** Is one of these faces an address on which a listener at `address` takes connections? */
function listensOn(address: string, faces: readonly Ip[], own: OwnAddresses): boolean {
  const listening = parseIp(address);
  if (listening === null) return true; // an own address that cannot be read: better refuse the port
  if (listening.range() !== 'unspecified') {
    const text = ipText(unmap(listening));
    return faces.some((face) => ipText(face) === text);
  }
  return faces.some((face) => face.range() === 'loopback' || isAmong(face, own.local));
}
