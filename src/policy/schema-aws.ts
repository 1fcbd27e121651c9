/** The `aws:` sets of a profile as they are written. Part of `schema-profile.ts`. */
import { z } from 'zod';

const MAX_HOSTS = 1000;

const awsSource = (what: string, variable: string) =>
  z.string().meta({ description: `Where the ${what} is: as \`from\` of a secret. Variable: ${variable}.` });

export const awsSet = z.strictObject({
  access_key_id: awsSource('access key id', 'AWS_ACCESS_KEY_ID'),
  secret_access_key: awsSource('secret access key', 'AWS_SECRET_ACCESS_KEY'),
  session_token: awsSource('session token', 'AWS_SESSION_TOKEN').optional().meta({
    description: 'Where the session token is, for a set that has one. Variable: AWS_SESSION_TOKEN.',
  }),
  prefix: z
    .string()
    .regex(/^[A-Za-z_][A-Za-z0-9_]{0,63}$/, 'is no beginning of a variable name')
    .optional()
    .meta({ description: 'Put before the names of the variables: PROD_ makes PROD_AWS_ACCESS_KEY_ID.' }),
  hosts: z.array(z.string()).min(1).max(MAX_HOSTS).meta({
    description: 'Where requests are signed again: patterns of amazonaws.com, or any endpoint like S3.',
  }),
  regions: z
    .array(z.string().regex(/^[\w-]{1,64}$/, 'is no region such as eu-central-1'))
    .min(1)
    .max(100)
    .optional()
    .meta({ description: 'Regions that may be signed for. Left out: every one.' }),
  services: z
    .array(z.string().regex(/^[\w.-]{1,64}$/, 'is no service such as s3'))
    .min(1)
    .max(100)
    .optional()
    .meta({ description: 'Services that may be signed for, as signatures name them. Left out: every one.' }),
});
