/**
 * The shape of the policy files: policy and guardrails here, profile, rules and what they share in `schema-*.ts`. One
 * strict zod source for reading and for the JSON Schemas under policies/schema/, so an unknown key is an error in both.
 * What depends on more than one value (patterns, reachability, kinds of rules) is checked by `compile.ts`.
 */
import { z } from 'zod';
import { isReason, REASONS } from '../flow/reason.ts';
import { MAX_LIST, MAX_RULES, name, version, words } from './schema-parts.ts';
import { profileSchema } from './schema-profile.ts';
import { allowRule, approveRule, denyRule } from './schema-rule.ts';
import { BYTE_RATE, byteRate, REQUEST_RATE } from './units.ts';

/** What can be counted byte by byte: numbers are exact up to twice of it. */
const MAX_BUDGET_BYTES = 2 ** 52;
const REASON_CODES = Object.keys(REASONS).filter(isReason);

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
export type GuardrailsFile = z.output<typeof guardrailsSchema>;
export type RuleFile = PolicyFile['rules'][number];
export type DenyFile = GuardrailsFile['rules'][number];

/** The JSON Schema (draft 7, which editors' YAML servers know best) of one file kind, as people write it. */
export function jsonSchemaOf(kind: 'policy' | 'profile' | 'guardrails'): object {
  const schemas = { policy: policySchema, profile: profileSchema, guardrails: guardrailsSchema };
  return z.toJSONSchema(schemas[kind], { target: 'draft-7', io: 'input' });
}
