/**
 * The shape of the policy files: policy, profile and guardrails. One strict zod source for reading and for
 * the JSON Schemas under policies/schema/, so an unknown key is an error in both. What depends on more than
 * one value (patterns, reachability, kinds of rules) is checked by `compile.ts`.
 */
import { z } from 'zod';
import { isReason, REASONS } from '../flow/reason.ts';
import { awsSet } from './schema-aws.ts';
import { mintBlocks } from './schema-mint.ts';
import { BYTE_RATE, byteRate, DURATION, REQUEST_RATE } from './units.ts';

const NAME = /^[a-z0-9][a-z0-9._-]{0,62}$/;
const ENV_NAME = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/;
const MAX_RULES = 2000;
const MAX_LIST = 1000;
const MAX_TEXT = 300;
/** What can be counted byte by byte: numbers are exact up to twice of it. */
const MAX_BUDGET_BYTES = 2 ** 52;
const REASON_CODES = Object.keys(REASONS).filter(isReason);

const duration = z
  .string()
  .regex(DURATION, 'is no duration such as 30s, 5m, 24h or 90d')
  .meta({ description: 'A duration: a whole number and ms, s, m, h or d.' });
const port = z.int().min(1).max(65_535);
const hosts = z.union([z.string(), z.array(z.string()).min(1).max(MAX_LIST)]).meta({
  description:
    'Host patterns: an exact name, `*.example.com` (one or more labels below example.com, never example.com itself), `*` (any public name) or a literal address; `host:port`, without a port 443 and, for plain HTTP, 80.',
});
const methods = z
  .array(z.string())
  .min(1)
  .max(50)
  .meta({ description: 'HTTP methods, upper case. Left out: every method.' });
const paths = z
  .array(z.string())
  .min(1)
  .max(MAX_LIST)
  .meta({ description: 'Absolute paths; `*` is one segment, `**` any number. Left out: every path.' });
const ports = z.array(port).min(1).max(100).meta({ description: 'Ports of every host of the rule.' });
const words = z
  .string()
  .max(MAX_TEXT)
  .regex(/^[^\p{Cc}]*$/u, 'holds control characters');

const grant = {
  ports: ports.optional(),
  addresses: z.array(z.string()).min(1).max(100).optional().meta({
    description:
      'Non-public ranges (CIDR) that this rule, and only it, may connect to. Never metadata services.',
  }),
  http2: z.literal('prefer').optional().meta({
    description:
      'Where the host is intercepted: HTTP/2 is offered also to clients that speak HTTP/1.1 as well. Left out: to those that speak nothing else (gRPC).',
  }),
  idle: duration.optional().meta({ description: 'Idle limit per direction. Default 10m.' }),
};

const allowRule = z.strictObject({
  allow: hosts,
  methods: methods.optional(),
  paths: paths.optional(),
  ...grant,
  tls: z
    .literal('tunnel')
    .optional()
    .meta({ description: 'Never intercepted: for clients that pin certificates.' }),
  protocol: z
    .enum(['tls', 'any'])
    .optional()
    .meta({ description: '`any` lets bytes that are not TLS through a tunnel. Default: tls on port 443.' }),
});

const approveRule = z.strictObject({
  approve: hosts,
  methods: methods.optional(),
  paths: paths.optional(),
  ...grant,
  wait: duration
    .optional()
    .meta({ description: 'How long a request is held before it is refused. Default 5m.' }),
  remember: duration
    .optional()
    .meta({ description: 'A yes covers the same group, host, method and path for so long. Default: once.' }),
  cooldown: duration.optional().meta({
    description:
      'After a no the same request is refused at once for so long, and after a yes nothing else that the rule holds can be allowed for so long. Default: neither.',
  }),
  second_factor: z.boolean().optional().meta({ description: 'A yes needs a one-time code of the operator.' }),
});

const denyRule = z.strictObject({
  deny: hosts,
  methods: methods.optional(),
  paths: paths.optional(),
  ports: ports.optional().meta({ description: 'Left out: every port.' }),
  reason: words.optional().meta({ description: 'Shown to the agent.' }),
});

const testRow = z.strictObject({
  request: z
    .string()
    .meta({ description: '`GET https://host/path` (the method may be left out), or `CONNECT host:port`.' }),
  expect: z
    .enum(['allow', 'deny', 'approve'])
    .meta({ description: 'The verdict, judged as in enforce mode also where the group is in monitor mode.' }),
  reason: z.enum(REASON_CODES).optional().meta({ description: 'Reason code of an expected refusal.' }),
  treat: z
    .enum(['tunnel', 'intercept', 'plain'])
    .optional()
    .meta({ description: 'How the allowed request would be carried.' }),
  keys: z
    .array(z.string())
    .max(100)
    .optional()
    .meta({ description: 'Variables of exactly those keys that would be swapped, in any order.' }),
  rule: z.string().optional().meta({
    description: 'Text of the rule that must decide, as `explain` prints it: `allow api.openai.com`.',
  }),
  from: z.string().optional().meta({ description: 'A client address that must belong to this group.' }),
});

const budget = (example: string) =>
  z
    .string()
    .regex(BYTE_RATE, `is no byte rate such as ${example}`)
    .refine((text) => byteRate(text).amount <= MAX_BUDGET_BYTES, 'is more than 4096TiB')
    .optional();

const limits = z.strictObject({
  connections: z.int().min(1).max(1_000_000).optional().meta({
    description: 'Client connections of the group that may be open at once.',
  }),
  requests: z.string().regex(REQUEST_RATE, 'is no rate such as 600/m').optional().meta({
    description: 'HTTP requests and tunnels per s, m, h or d: 600/m lets in 600 at once and 10 a second.',
  }),
  upload: budget('1GiB/d').meta({ description: 'Bytes from the sandbox per UTC s, m, h or d.' }),
  download: budget('20GiB/d').meta({ description: 'Bytes to the sandbox per UTC s, m, h or d.' }),
});

const version = z.literal(1).meta({ description: 'Version of the file format.' });
const name = z
  .string()
  .regex(NAME, 'is no name: lower-case letters, digits, dot, hyphen and underscore, at most 63');
const envName = z.string().regex(ENV_NAME, 'is no variable name');

export const policySchema = z
  .strictObject({
    version,
    group: name.meta({ description: 'Name of the agent group; one file per group.' }),
    description: words.optional(),
    mode: z.enum(['enforce', 'monitor']).default('enforce').meta({
      description:
        'monitor lets through what enforce would refuse and records it as would_deny; guardrails, the address guard, identity and keys are enforced all the same.',
    }),
    identify: z
      .strictObject({
        sources: z
          .array(z.string())
          .max(MAX_LIST)
          .default([])
          .meta({ description: 'Client addresses (CIDR) of this group; the longest prefix wins.' }),
        token: z
          .enum(['optional', 'required'])
          .default('optional')
          .meta({ description: 'Is an issued token needed as well.' }),
      })
      .optional(),
    rules: z
      .array(z.union([allowRule, denyRule, approveRule]))
      .max(MAX_RULES)
      .default([])
      .meta({ description: 'First match decides; nothing matches: refused.' }),
    refuse: z
      .enum(['on_connect', 'inside'])
      .default('on_connect')
      .meta({ description: 'on_connect answers the CONNECT itself; inside finishes TLS and answers there.' }),
    profile: name.optional().meta({ description: 'Key profile under policies/profiles/.' }),
    exclude: z
      .array(z.string())
      .max(MAX_LIST)
      .default([])
      .meta({ description: 'Keys of the profile that do not exist for this group.' }),
    limits: limits.optional(),
    tests: z
      .array(testRow)
      .max(MAX_RULES)
      .default([])
      .meta({ description: 'Requests and the verdicts they must get; run by `sallyport test`.' }),
  })
  .meta({ title: 'Sallyport policy of one agent group' });

const placeholder = z.union([
  z.literal('pem'),
  z.strictObject({
    prefix: z
      .string()
      .max(64)
      .regex(/^[\x21-\x7e]*$/, 'holds characters that a key cannot have'),
    length: z.int().min(16).max(4096).meta({ description: 'Characters in all, prefix included.' }),
    alphabet: z.enum(['hex', 'base62', 'base64', 'base64url', 'base32', 'lower', 'upper', 'digits']),
  }),
]);

export const profileSchema = z
  .strictObject({
    version,
    profile: name,
    description: words.optional(),
    secrets: z
      .array(
        z.strictObject({
          env: envName.meta({ description: 'Variable under which the sandbox holds the placeholder.' }),
          from: z.string().meta({
            description:
              'Where the key is: vault:NAME, env:NAME, file:PATH, stronghold:DEPLOYMENT#VARIABLE, kv:PATH#FIELD, command:… or mint:NAME',
          }),
          hosts: z
            .array(z.string())
            .min(1)
            .max(MAX_LIST)
            .meta({ description: 'Where the key may go; every one reachable by the rules of the group.' }),
          in: z.array(z.string()).min(1).max(20).default(['header', 'basic']).meta({
            description:
              'Where a placeholder is swapped: header, header:NAME, basic, query, query:NAME, path, body, websocket.',
          }),
          placeholder: placeholder.optional().meta({
            description: 'Shape of the placeholder; default: that of the key. pem: a throw-away key.',
          }),
        }),
      )
      .max(MAX_LIST)
      .default([]),
    mint: mintBlocks.default({}),
    aws: z
      .array(awsSet)
      .max(100)
      .default([])
      .meta({ description: 'AWS key sets: what a sandbox signs with placeholders is signed again (SigV4).' }),
  })
  .meta({ title: 'Sallyport key profile' });

export const guardrailsSchema = z
  .strictObject({
    version,
    enforce_only: z.boolean().default(false).meta({ description: 'Forbids monitor mode.' }),
    rules: z
      .array(denyRule)
      .max(MAX_RULES)
      .default([])
      .meta({ description: 'What no group may override; before every group rule.' }),
  })
  .meta({ title: 'Sallyport guardrails' });

export type PolicyFile = z.output<typeof policySchema>;
export type ProfileFile = z.output<typeof profileSchema>;
export type GuardrailsFile = z.output<typeof guardrailsSchema>;
export type RuleFile = PolicyFile['rules'][number];
export type SecretFile = ProfileFile['secrets'][number];
export type AwsSetFile = ProfileFile['aws'][number];
export type DenyFile = GuardrailsFile['rules'][number];

/** The JSON Schema (draft 7, which editors' YAML servers know best) of one file kind, as people write it. */
export function jsonSchemaOf(kind: 'policy' | 'profile' | 'guardrails'): object {
  const schemas = { policy: policySchema, profile: profileSchema, guardrails: guardrailsSchema };
  return z.toJSONSchema(schemas[kind], { target: 'draft-7', io: 'input' });
}
