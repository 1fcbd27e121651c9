/**
 * What most behaviour tests start from: one group on loopback, rules in one line each, keys from files, and
 * questions about the record and the counters.
 */
import { eventually, type World } from './world.ts';

const METHODS = 'methods: [GET, HEAD, POST, PUT, DELETE, OPTIONS]';
const LOOPBACK = 'addresses: [127.0.0.0/8]';

/** A rule that makes the host intercepted; `more`: further keys of the rule. */
export function intercepted(at: string, more = ''): string {
  return `allow: "${at}", ${METHODS}, ${LOOPBACK}${more === '' ? '' : `, ${more}`}`;
}

/** A rule that tunnels. */
export function tunnelled(at: string, more = ''): string {
  return `allow: "${at}", ${LOOPBACK}${more === '' ? '' : `, ${more}`}`;
}

/** A policy file. `rules`: the inside of a flow mapping each. */
export function policy(
  rules: readonly string[],
  of: { group?: string; sources?: string; more?: string } = {},
): string {
  const { group = 'agents', sources = '127.0.0.0/8', more = '' } = of;
  const lines = rules.map((rule) => `  - { ${rule} }\n`).join('');
  const list = lines === '' ? 'rules: []\n' : `rules:\n${lines}`;
  return `version: 1\ngroup: ${group}\nidentify: { sources: [${sources}] }\n${list}${more}`;
}

export type Key = { env: string; from: string; hosts: readonly string[]; in?: readonly string[] };

/** A profile file named `keys`; a policy takes it with `profile: keys`. */
export function profile(keys: readonly Key[]): string {
  const rows = keys.map(({ env, from, hosts, in: places }) => {
    const at = places === undefined ? '' : `, in: [${places.join(', ')}]`;
    return `  - { env: ${env}, from: "${from}", hosts: [${hosts.map((host) => `"${host}"`).join(', ')}]${at} }\n`;
  });
  return `version: 1\nprofile: keys\nsecrets:\n${rows.join('')}`;
}

type Record_ = Record<string, unknown>;

/** Records whose fields equal `wanted`. */
export async function records(world: World, wanted: Record_): Promise<Record_[]> {
  const all = await world.audit();
  return all.filter((one) => Object.entries(wanted).every(([name, value]) => one[name] === value));
}

/** The one record like this; waits for it, and fails when there are more. */
export async function theRecord(world: World, wanted: Record_): Promise<Record_> {
  const found = await eventually(async () => {
    const list = await records(world, wanted);
    return list.length > 0 ? list : null;
  });
  const [first] = found;
  if (found.length !== 1 || first === undefined)
    throw new Error(`${found.length} records: ${JSON.stringify(found)}`);
  return first;
}

/** Value of one line of the metrics text: `name{labels}` as it stands there; 0 when it is not there. */
export async function metric(world: World, series: string): Promise<number> {
  const line = (await world.metrics()).split('\n').find((text) => text.startsWith(`${series} `));
  return line === undefined ? 0 : Number(line.slice(series.length + 1));
}

/** Sum over all lines of a metric whose labels hold every one of `labels`. */
export async function metricSum(world: World, name: string, labels: readonly string[]): Promise<number> {
  const lines = (await world.metrics()).split('\n').filter((text) => text.startsWith(`${name}{`));
  const chosen = lines.filter((text) => labels.every((label) => text.includes(label)));
  return chosen.reduce((sum, text) => sum + Number(text.slice(text.lastIndexOf(' ') + 1)), 0);
}

/** The placeholder that `/env` gives under a variable. */
export function placeholderIn(env: Record_, name: string): string {
  const value = env[name];
  if (typeof value !== 'string') throw new Error(`${name} is not in the environment`);
  return value;
}
