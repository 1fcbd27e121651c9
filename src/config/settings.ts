/**
 * Process settings (contract section 2): sallyport.yaml where there is one, every key overridable by the
 * environment, every one with a default. Read once at start and by each command; paths come out absolute,
 * durations in milliseconds, addresses split.
 */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import type { Problem } from '../policy/model.ts';
import { DURATION, durationMs } from '../policy/units.ts';
import { type EndpointText, parseEndpoint, parsePeer } from './endpoint.ts';
import { applyEnvironment, withVariableForm } from './environment.ts';
import { problemsOf } from './issues.ts';
import { adminNames } from './settings-admin.ts';
import { fixedAnswers, transparentProblem } from './settings-checks.ts';
import { type NotifySettings, notifyShape } from './settings-notify.ts';
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
const DNS_PORT = 53;
const SECTIONS = ['proxy', 'transparent', 'admin', 'metrics', 'notify', 'state', 'dns', 'tls', 'audit'];

const listen = z
  .string()
  .refine((text) => parseEndpoint(text) !== null, 'is no address such as 127.0.0.1:8080 or "[::]:8080"');
const duration = z.string().regex(DURATION, 'is no duration such as 30s, 5m, 24h or 90d');
const folder = z
  .string()
  .min(1)
  .regex(/^[^\0]*$/, 'holds a NUL byte');
const address = z
  .string()
  .refine((text) => parsePeer(`${text.includes(':') ? `[${text}]` : text}`, 1) !== null, 'is no IP address');
const dnsServer = z
  .string()
  .refine((text) => parsePeer(text, DNS_PORT) !== null, 'is no server such as 10.0.0.2 or 127.0.0.1:5300');
const url = (schemes: readonly string[]) =>
  z
    .string()
    .refine(
      (text) => isUrl(text, schemes),
      `is no ${schemes.map((scheme) => `${scheme}//`).join(' or ')} URL`,
    );
const off = { description: 'Off by default.' };

const section = <T extends z.ZodRawShape>(shape: T) => z.strictObject(shape).prefault(emptyInput<T>());

const settingsSchema = z
  .strictObject({
    proxy: section({
      listen: listen
        .default('127.0.0.1:8080')
        .meta({ description: 'HTTP CONNECT, absolute-form HTTP and SOCKS5 on one port.' }),
      workers: z
        .union([z.int().min(1).max(256), z.literal('auto')])
        .default(1)
        .meta({ description: 'Processes; auto: one per core.' }),
      drain: duration.default('30s').meta({ description: 'How long open work may take after SIGTERM.' }),
    }),
    transparent: section({
      tls: listen.nullable().default(null).meta(off),
      http: listen.nullable().default(null).meta(off),
      dns: listen.nullable().default(null).meta(off),
      address: address.nullable().default(null).meta({ description: 'What the DNS listener answers.' }),
    }),
    admin: section({
      listen: listen
        .default('127.0.0.1:9090')
        .meta({ description: 'Console, API, metrics, health; never on the sandbox network.' }),
      names: adminNames,
    }),
    metrics: section({
      listen: listen
        .nullable()
        .default(null)
        .meta({ description: 'Second address that serves /metrics alone, for Prometheus.' }),
    }),
    notify: section(notifyShape),
    policies: folder.default('policies').meta({ description: 'Folder of the policy files.' }),
    certs: folder.default('certs').meta({ description: 'Folder of the interception CA.' }),
    state: section({
      dir: folder.default('.sallyport').meta({ description: 'Vault, tokens, audit log, lockdown state.' }),
      redis: url(['redis:', 'rediss:'])
        .nullable()
        .default(null)
        .meta({ description: 'redis:// shares state between replicas.' }),
    }),
    dns: section({
      servers: z
        .array(dnsServer)
        .max(16)
        .default([])
        .meta({ description: "Empty: the system's; else addresses, with or without a port." }),
      hosts: z
        .record(z.string(), z.array(address).min(1).max(64))
        .default({})
        .meta({ description: 'Fixed answers: { "api.test": ["127.0.0.1"] }.' }),
    }),
    tls: section({
      extra_ca: z
        .array(folder)
        .max(100)
        .default([])
        .meta({ description: "PEM files trusted for upstreams beside the system's roots." }),
    }),
    parent_proxy: url(['http:', 'https:', 'socks5:'])
      .nullable()
      .default(null)
      .meta({ description: 'http://, https:// or socks5:// proxy that all egress goes through.' }),
    audit: section({
      sync: z
        .enum(['batch', 'always'])
        .default('batch')
        .meta({ description: 'When records reach the disk: many at once, or each by itself.' }),
      retain: duration.default('90d').meta({ description: 'How long audit files are kept.' }),
    }),
  })
  .meta({ title: 'Sallyport settings' });

type SettingsFile = z.output<typeof settingsSchema>;

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

/** The JSON Schema (draft 7) of sallyport.yaml. */
export function settingsJsonSchema(): object {
  return z.toJSONSchema(settingsSchema, { target: 'draft-7', io: 'input' });
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

function isUrl(text: string, schemes: readonly string[]): boolean {
  return URL.canParse(text) && schemes.includes(new URL(text).protocol) && new URL(text).hostname !== '';
}

/** A section that is left out is a section of defaults; every key of every section has one. */
function emptyInput<T extends z.ZodRawShape>(): z.input<z.ZodObject<T, z.core.$strict>> {
  return {} as z.input<z.ZodObject<T, z.core.$strict>>;
}
