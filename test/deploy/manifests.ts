/** The manifests of deploy/kubernetes as the tests read them, and what its NetworkPolicies come to. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import ipaddr from 'ipaddr.js';
import { parseAllDocuments } from 'yaml';
import { isLoose, loose, text, texts } from '../helpers/compose.ts';
import { ROOT } from '../helpers/import-table.ts';

export const KUBERNETES = path.join(ROOT, 'deploy/kubernetes');

export type Loose = Readonly<Record<string, unknown>>;
export type Manifest = {
  /** below deploy/kubernetes */
  readonly file: string;
  readonly kind: string;
  readonly name: string;
  readonly namespace: string;
  readonly raw: Loose;
};

export function list(value: unknown): Loose[] {
  return Array.isArray(value) ? value.filter(isLoose) : [];
}

/** What stands at a path of keys; an empty table for what is missing. */
export function below(value: unknown, ...keys: readonly string[]): Loose {
  return keys.reduce<Loose>((at, key) => loose(at[key]), loose(value));
}

/** Every document of every YAML file, but for policies, kustomizations and examples. */
export function manifests(): Manifest[] {
  const files = readdirSync(KUBERNETES, { recursive: true, encoding: 'utf8' }).filter(
    (name) => name.endsWith('.yaml') && !/(^policies\/|kustomization\.yaml$|\.example\.yaml$)/.test(name),
  );
  return files.sort().flatMap((file) =>
    parseAllDocuments(readFileSync(path.join(KUBERNETES, file), 'utf8')).map((document) => {
      if (document.errors.length > 0) throw new Error(`${file}: ${document.errors.join()}`);
      const raw = loose(document.toJS());
      const { name, namespace } = below(raw, 'metadata');
      return { file, kind: text(raw['kind']), name: text(name), namespace: text(namespace), raw };
    }),
  );
}

/** Who talks in a cluster: a pod by its labels, or an address outside. */
export type Peer =
  | { readonly namespace: string; readonly labels: Readonly<Record<string, string>> }
  | { readonly address: string };

/** May `from` open a connection to `to`: both sides' policies are asked, as a cluster does that enforces them. */
export function mayConnect(
  all: readonly Manifest[],
  from: Peer,
  to: Peer,
  port: { protocol: string; port: number },
): boolean {
  const policies = all.filter(({ kind }) => kind === 'NetworkPolicy');
  const side = (self: Peer, other: Peer, type: 'Ingress' | 'Egress'): boolean => {
    if ('address' in self) return true;
    const about = policies.filter(
      ({ namespace, raw }) =>
        namespace === self.namespace &&
        texts(below(raw, 'spec')['policyTypes']).includes(type) &&
        fits(below(raw, 'spec', 'podSelector'), self.labels),
    );
    if (about.length === 0) return true;
    const [rules, peers] = type === 'Ingress' ? ['ingress', 'from'] : ['egress', 'to'];
    return about.some(({ raw }) =>
      list(below(raw, 'spec')[rules]).some(
        (rule) => portFits(list(rule['ports']), port) && peerFits(list(rule[peers]), other),
      ),
    );
  };
  return side(from, to, 'Egress') && side(to, from, 'Ingress');
}

function portFits(ports: readonly Loose[], wanted: { protocol: string; port: number }): boolean {
  return ports.some(({ protocol, port }) => protocol === wanted.protocol && port === wanted.port);
}

function peerFits(peers: readonly Loose[], other: Peer): boolean {
  return peers.some((peer) => {
    const block = below(peer, 'ipBlock');
    if (text(block['cidr']) !== '') {
      if (!('address' in other) || !inRange(other.address, text(block['cidr']))) return false;
      return !texts(block['except']).some((range) => inRange(other.address, range));
    }
    if ('address' in other) return false;
    const name = { 'kubernetes.io/metadata.name': other.namespace };
    return fits(below(peer, 'namespaceSelector'), name) && fits(below(peer, 'podSelector'), other.labels);
  });
}

/** An empty selector fits all. */
function fits(selector: Loose, labels: Readonly<Record<string, string>>): boolean {
  return Object.entries(below(selector, 'matchLabels')).every(([key, value]) => labels[key] === value);
}

function inRange(address: string, range: string): boolean {
  const [at, within] = [ipaddr.parse(address), ipaddr.parseCIDR(range)];
  return at.kind() === within[0].kind() && at.match(within);
}
