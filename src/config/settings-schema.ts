/**
 * What may stand in sallyport.yaml, as people write it: every key with its default, none beside them. One strict zod source
 * for reading (`settings.ts`) and for the JSON Schema under policies/schema/.
 */
import { z } from 'zod';
import { DURATION } from '../policy/units.ts';
import { parseEndpoint, parsePeer } from './endpoint.ts';
import { adminNames } from './settings-admin.ts';
import { isRetention } from './settings-checks.ts';
import { notifyShape } from './settings-notify.ts';

/** Of name servers that are written without one. */
export const DNS_PORT = 53;
/** Keys that hold further keys. */
export const SECTIONS = [
  'proxy',
  'transparent',
  'admin',
  'metrics',
  'notify',
  'state',
  'dns',
  'tls',
  'audit',
];

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

export const settingsSchema = z
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
      retain: duration
        .refine(isRetention, 'is no number of whole days from 1d to 36500d')
        .default('90d')
        .meta({ description: 'How long audit files are kept; whole days.' }),
    }),
  })
  .meta({ title: 'Sallyport settings' });

export type SettingsFile = z.output<typeof settingsSchema>;

/** The JSON Schema (draft 7) of sallyport.yaml. */
export function settingsJsonSchema(): object {
  return z.toJSONSchema(settingsSchema, { target: 'draft-7', io: 'input' });
}

function isUrl(text: string, schemes: readonly string[]): boolean {
  return URL.canParse(text) && schemes.includes(new URL(text).protocol) && new URL(text).hostname !== '';
}

/** A section that is left out is a section of defaults; every key of every section has one. */
function emptyInput<T extends z.ZodRawShape>(): z.input<z.ZodObject<T, z.core.$strict>> {
  return {} as z.input<z.ZodObject<T, z.core.$strict>>;
}
