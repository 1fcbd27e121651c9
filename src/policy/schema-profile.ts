/** A key profile as it is written: which keys there are, where each comes from and where it may go. Part of `schema.ts`. */
import { z } from 'zod';
import { awsSet } from './schema-aws.ts';
import { mintBlocks } from './schema-mint.ts';
import { MAX_LIST, name, version, words } from './schema-parts.ts';

const ENV_NAME = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/;

const envName = z.string().regex(ENV_NAME, 'is no variable name');

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

export type ProfileFile = z.output<typeof profileSchema>;
export type SecretFile = ProfileFile['secrets'][number];
export type AwsSetFile = ProfileFile['aws'][number];
