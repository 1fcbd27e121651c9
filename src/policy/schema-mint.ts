/** The `mint:` blocks of a profile as they are written: keys that an authority makes for a while. Part of `schema-profile.ts`. */
import { z } from 'zod';

/** What is sent as it stands, in a form field or a header. */
const visible = z
  .string()
  .min(1)
  .max(1024)
  .regex(/^[\x21-\x7e]+(?: [\x21-\x7e]+)*$/, 'holds characters that it cannot');
const source = (what: string) =>
  z.string().meta({ description: `Where ${what} is: as \`from\` of a secret.` });

const clientCredentials = z.strictObject({
  kind: z.literal('client_credentials').meta({ description: 'OAuth 2.0 client credentials (RFC 6749 4.4).' }),
  token_url: z.string().max(2048).meta({ description: 'The token endpoint, https://.' }),
  client_id: visible,
  auth: z.enum(['basic', 'body', 'private_key_jwt']).default('basic').meta({
    description:
      'How the client proves itself: its secret by Basic or in the body, or a signed assertion (RFC 7523).',
  }),
  client_secret: source('the client secret').optional(),
  key: source('the private key, PEM,').optional(),
  alg: z
    .enum(['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'])
    .optional()
    .meta({ description: 'How the assertion is signed. Default RS256.' }),
  key_id: visible.optional().meta({ description: '`kid` of the assertion.' }),
  assertion_audience: visible.optional().meta({ description: '`aud` of the assertion. Default: token_url.' }),
  scope: visible.optional(),
  audience: visible.optional(),
  resource: visible.optional().meta({ description: 'Resource indicator (RFC 8707).' }),
});

const githubApp = z.strictObject({
  kind: z.literal('github_app').meta({ description: 'Installation token of a GitHub App.' }),
  app_id: z
    .union([z.int().positive(), z.string().regex(/^[\w.-]{1,64}$/, 'is no id of an app')])
    .meta({ description: 'App id, or client id.' }),
  installation_id: z.union([z.int().positive(), z.string().regex(/^\d{1,20}$/, 'is no number')]),
  key: source('the private key of the app, PEM,'),
  repositories: z
    .array(z.string().regex(/^[\w.-]{1,100}$/, 'is no name of a repository without its owner'))
    .min(1)
    .max(500)
    .optional()
    .meta({ description: 'Names without owner. Left out: all that the installation has.' }),
  permissions: z
    .record(z.string().regex(/^[a-z_]{1,64}$/, 'is no permission'), z.enum(['read', 'write', 'admin']))
    .optional()
    .meta({ description: 'Fewer than the installation has. Left out: all of them.' }),
  api_url: z
    .string()
    .max(2048)
    .default('https://api.github.com')
    .meta({ description: 'The API; of a GitHub Enterprise Server https://HOST/api/v3.' }),
});

export const mintBlocks = z
  .record(
    z.string().regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, 'is no name in lower case'),
    z.discriminatedUnion('kind', [clientCredentials, githubApp]),
  )
  .meta({
    description: 'Keys that an authority makes for a while, by the name that `from: mint:NAME` uses.',
  });

export type MintFile = z.output<typeof mintBlocks>[string];
