/** The `notify` section of the settings: where operators hear of calls that wait for them. Part of `settings-schema.ts`. */
import { z } from 'zod';

export type NotifySettings = {
  /** the operator's alone: it often is a credential by itself, so it is never logged or shown; null: nobody is told */
  readonly url: string | null;
  readonly format: 'json' | 'slack';
};

export const notifyShape = {
  url: z
    .string()
    .refine(
      (text) => /^https?:\/\//i.test(text) && URL.canParse(text) && new URL(text).username === '',
      'is no http:// or https:// URL without a user',
    )
    .nullable()
    .default(null)
    .meta({ description: 'Webhook that hears of calls that wait for a person; off by default.' }),
  format: z.enum(['json', 'slack']).default('json').meta({
    description: 'json: the facts, signed; slack: `{ text }`, for Slack and what understands the same.',
  }),
};
