/**
 * Process settings (contract section 2): sallyport.yaml where there is one, every key overridable by the
 * environment, every one with a default. Read once at start and by each command; paths come out absolute,
 * durations in milliseconds, addresses split.
 */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { Problem } from '../policy/model.ts';
import { durationMs } from '../policy/units.ts';
import { type EndpointText, parseEndpoint, parsePeer } from './endpoint.ts';
import { applyEnvironment, withVariableForm } from './environment.ts';
import { problemsOf } from './issues.ts';
import { fixedAnswers, transparentProblem } from './settings-checks.ts';
import type { NotifySettings } from './settings-notify.ts';
import {
  DNS_PORT,
  SECTIONS,
  type SettingsFile,
  settingsJsonSchema,
  settingsSchema,
} from './settings-schema.ts';
import { type Locate, readYaml, type YamlFile } from './yaml-file.ts';

/** A listening or peer address; IPv6 without brackets. */
export type Endpoint = EndpointText;

export type Settings = {
  /** the settings file that was read, absolute; `null` when defaults apply */
  readonly file: string | null;
  /** folder that relative paths count from, absolute */
  readonly root: string;
  readonly proxy: {
    readonly listen: Endpoint;
    readonly workers: number | 'auto';
    /** milliseconds */
    readonly drainMs: number;
  };
  readonly transparent: {
    readonly tls: Endpoint | null;
    readonly http: Endpoint | null;
    readonly dns: Endpoint | null;
    readonly address: string | null;
  };
  readonly admin: {
    readonly listen: Endpoint;
    /** further hosts that requests to it may name, lower-case */
    readonly names: readonly string[];
  };
  readonly metrics: { readonly listen: Endpoint | null };
  readonly notify: NotifySettings;
  /** absolute folder */
  readonly policies: string;
  /** absolute folder */
  readonly certs: string;
  readonly state: {
    /** absolute folder */
    readonly dir: string;
    readonly redis: string | null;
  };
  readonly dns: {
    /** empty: the system's */
    readonly servers: readonly Endpoint[];
    /** keys as A-labels, lower-case, no trailing dot */
    readonly hosts: ReadonlyMap<string, readonly string[]>;
  };
  readonly tls: {
    /** absolute PEM files trusted for upstreams beside the system's roots */
    readonly extraCa: readonly string[];
  };
  readonly parentProxy: string | null;
  readonly audit: {
    readonly sync: 'batch' | 'always';
    /** milliseconds */
    readonly retainMs: number;
  };
};

export type SettingsSource = {
  /** value of `--config`; must exist when given */
  readonly file?: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
};

const DEFAULT_FILE = 'sallyport.yaml';

/**
 * Loads the settings: `file`, else SALLYPORT_CONFIG (either must exist), else ./sallyport.yaml where there is
 * one, else the defaults; then the environment. Everything that is wrong comes back at once.
 */
export function loadSettings(
  from: SettingsSource,
): { settings: Settings; locate: Locate } | { problems: readonly Problem[] } {
  const read = readSettingsFile(from);
  if ('problems' in read) return read;
  const overridden = applyEnvironment(withSections(read.yaml), from.env, settingsJsonSchema());
  if ('problems' in overridden) return overridden;
  const parsed = settingsSchema.safeParse(overridden.yaml.value);
  if (!parsed.success) {
    const problems = problemsOf(overridden.yaml, parsed.error.issues, settingsJsonSchema());
    return { problems: problems.map(withVariableForm) };
  }
  const lacking = transparentProblem(parsed.data.transparent, overridden.yaml);
  if (lacking !== null) return { problems: [withVariableForm(lacking)] };
  const hosts = fixedAnswers(parsed.data.dns.hosts, overridden.yaml);
  if ('problems' in hosts) return { problems: hosts.problems.map(withVariableForm) };
  const locate: Locate = (path) => ({ file: overridden.yaml.file, ...overridden.yaml.locate(path) });
  return { settings: resolved(parsed.data, read, hosts.hosts), locate };
}

type ReadFile = { readonly file: string | null; readonly root: string; readonly yaml: YamlFile };

function readSettingsFile(from: SettingsSource): ReadFile | { problems: readonly Problem[] } {
  const named = from.file ?? (from.env['SALLYPORT_CONFIG'] || undefined);
  const file = resolve(from.cwd, named ?? DEFAULT_FILE);
  const shown = named ?? DEFAULT_FILE;
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
    if (named === undefined && code === 'ENOENT') {
      const yaml = { file: 'the defaults', value: {}, locate: () => ({ line: 0, column: 0 }) };
      return { file: null, root: resolve(from.cwd), yaml };
    }
    const message = `the settings file cannot be read (${code})`;
    return {
      problems: [{ file: shown, line: 0, column: 0, message, fix: 'check --config and permissions' }],
    };
  }
  const yaml = readYaml(shown, text);
  if (!('value' in yaml)) return { problems: yaml };
  // A file with nothing but comments is a settings file that changes nothing.
  return { file, root: dirname(file), yaml: yaml.value === null ? { ...yaml, value: {} } : yaml };
}

/** A section whose keys are all commented out reads as null: that is a section of defaults. */
function withSections(yaml: YamlFile): YamlFile {
  if (typeof yaml.value !== 'object' || yaml.value === null || Array.isArray(yaml.value)) return yaml;
  const kept = Object.entries(yaml.value).filter(
    ([key, value]) => !(value === null && SECTIONS.includes(key)),
  );
  return { ...yaml, value: Object.fromEntries(kept) };
}

function resolved(
  data: SettingsFile,
  read: ReadFile,
  hosts: ReadonlyMap<string, readonly string[]>,
): Settings {
  const { root, file } = read;
  const { proxy, transparent, admin, metrics, audit, state } = data;
  return {
    file,
    root,
    proxy: { listen: endpoint(proxy.listen), workers: proxy.workers, drainMs: durationMs(proxy.drain) },
    transparent: {
      tls: optional(transparent.tls),
      http: optional(transparent.http),
      dns: optional(transparent.dns),
      address: transparent.address,
    },
    admin: { listen: endpoint(admin.listen), names: admin.names },
    metrics: { listen: optional(metrics.listen) },
    notify: data.notify,
    policies: resolve(root, data.policies),
    certs: resolve(root, data.certs),
    state: { dir: resolve(root, state.dir), redis: state.redis },
    dns: { servers: data.dns.servers.flatMap((text) => parsePeer(text, DNS_PORT) ?? []), hosts },
    tls: { extraCa: data.tls.extra_ca.map((path) => resolve(root, path)) },
    parentProxy: data.parent_proxy,
    audit: { sync: audit.sync, retainMs: durationMs(audit.retain) },
  };
}

function endpoint(text: string): Endpoint {
  const parsed = parseEndpoint(text);
  if (parsed === null) throw new TypeError(`the schema let "${text}" through as an address`);
  return parsed;
}

function optional(text: string | null): Endpoint | null {
  return text === null ? null : endpoint(text);
}
