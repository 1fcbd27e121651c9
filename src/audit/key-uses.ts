/** Which keys were used by whom, where and since when: what is to be rotated after an incident. In bounded memory. */
import { type ReadRecord, textOf } from './read-record.ts';

export type KeyUse = {
  readonly key: string;
  readonly group: string;
  readonly identity: string;
  readonly calls: number;
  /** ISO 8601 */
  readonly first: string;
  readonly last: string;
  readonly hosts: readonly string[];
};

const MAX_USES = 5000;
const MAX_HOSTS = 50;

export class KeyUses {
  readonly #uses = new Map<
    string,
    Omit<KeyUse, 'hosts' | 'calls' | 'last'> & { calls: number; last: string; hosts: Set<string> }
  >();

  /** `record`: of any kind; a decision that let a call with keys through counts. */
  add(record: ReadRecord): void {
    const { kind, keys, verdict } = record;
    if (kind !== 'decision' || verdict === 'deny' || !Array.isArray(keys)) return;
    const [group, identity, at] = [textOf(record, 'group'), textOf(record, 'identity'), textOf(record, 'at')];
    for (const key of keys) {
      if (typeof key !== 'string') continue;
      const id = JSON.stringify([key, group, identity]);
      const known = this.#uses.get(id);
      if (known === undefined && this.#uses.size >= MAX_USES) continue;
      const use = known ?? { key, group, identity, first: at, last: at, calls: 0, hosts: new Set<string>() };
      this.#uses.set(id, use);
      use.calls += 1;
      if (at > use.last) use.last = at;
      if (use.hosts.size < MAX_HOSTS) use.hosts.add(textOf(record, 'host'));
    }
  }

  /** Most used first. */
  all(): readonly KeyUse[] {
    const list = [...this.#uses.values()].map((use) => ({ ...use, hosts: [...use.hosts].sort() }));
    return list.sort((a, b) => b.calls - a.calls);
  }
}
