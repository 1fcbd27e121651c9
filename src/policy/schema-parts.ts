/** What several kinds of policy files have in common: names, durations, texts, and how long a list may be. Part of `schema.ts`. */
import { z } from 'zod';
import { DURATION, durationMs } from './units.ts';

const NAME = /^[a-z0-9][a-z0-9._-]{0,62}$/;
const MAX_TEXT = 300;
export const MAX_RULES = 2000;
/** Hosts, paths, keys: whatever people write one below the other. */
export const MAX_LIST = 1000;

export const version = z.literal(1).meta({ description: 'Version of the file format.' });
export const name = z
  .string()
  .regex(NAME, 'is no name: lower-case letters, digits, dot, hyphen and underscore, at most 63');
export const duration = z
  .string()
  .regex(DURATION, 'is no duration such as 30s, 5m, 24h or 90d')
  .meta({ description: 'A duration: a whole number and ms, s, m, h or d.' });
/** Of something that would end at once without. */
export const someTime = duration.refine(
  (text) => !DURATION.test(text) || durationMs(text) > 0,
  'is no time at all',
);
export const words = z
  .string()
  .max(MAX_TEXT)
  .regex(/^[^\p{Cc}]*$/u, 'holds control characters');
